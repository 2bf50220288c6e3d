import pytest

from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.tenants.checks import check_id, check_period


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


@pytest.mark.parametrize("period", ["2026", "2026-12", "2026-W01", "2026-W53", "2028-02-29"])
def test_a_year_month_week_or_day_is_a_period(period: str) -> None:
    check_period(period)


@pytest.mark.parametrize(
    "period",
    [
        *("banana", "", "26", "0000", "2026-", "2026-1", "2026-13", "2026-02-29", "20261201", "2026-12-01T00"),
        *("2025-W53", "2026-W1", "2026-w01", "2026-W01-1", " 2026", "2026\n", "\u0662\u0660\u0662\u0666"),
    ],
)
def test_anything_else_is_none(period: str) -> None:
    with pytest.raises(Problem, match="usage"):
        check_period(period)
