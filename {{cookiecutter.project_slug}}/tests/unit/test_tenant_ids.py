import pytest

from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.tenants.checks import check_id


@pytest.mark.parametrize(
    "tenant",
    ["", "ac", "Acme", "acme-", "-acme", "a_b", "a b", "acme\n", "x" * 65, "../acme", "acme:x", "\u0661\u0662\u0663"],
)
def test_an_id_that_cannot_have_a_ledger_is_refused(tenant: str) -> None:
    with pytest.raises(Problem, match="is not a valid tenant ID"):
        check_id(tenant)


@pytest.mark.parametrize("tenant", ["abc", "a-1", "x" * 64])
def test_an_id_that_cycles_takes_passes(tenant: str) -> None:
    check_id(tenant)
