import pytest
from pydantic import SecretStr

from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.core.tenancy_settings import TenancySettings
from {{ cookiecutter.__package }}.tenants.tenancy import owner_of


def test_serving_needs_the_cycles_tenant_and_its_key() -> None:
    assert TenancySettings(cycles_tenant="house", cycles_api_key=SecretStr("cyc_live_1")).tenancy_faults() == []
    tenant, key = TenancySettings().tenancy_faults()
    assert (tenant.partition(" ")[0], key.partition(" ")[0]) == ("CYCLES_TENANT", "CYCLES_API_KEY")


def test_commands_refuse_to_guess_a_cycles_tenant() -> None:
    with pytest.raises(Problem, match="CYCLES_TENANT is missing"):
        TenancySettings().root_of("acme")


@pytest.mark.parametrize(
    ("scope", "owner"),
    [
        ("tenant:house/workspace:acme", "acme"),
        ("tenant:house/workspace:acme/app:chat/workflow:ada", "acme"),
        ("tenant:house/workspace:acme-2", "acme-2"),
        ("tenant:house", None),
        ("tenant:house/app:chat", None),
        ("tenant:house/app:acme/workflow:acme", None),
    ],
)
def test_a_ledger_belongs_to_the_workspace_that_it_lies_in_or_to_nobody(scope: str, owner: str | None) -> None:
    assert owner_of(scope) == owner
