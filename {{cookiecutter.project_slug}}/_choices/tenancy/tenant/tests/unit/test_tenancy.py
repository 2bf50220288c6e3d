import pytest
from pydantic import SecretStr

from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.core.tenancy_settings import TenancySettings
from {{ cookiecutter.__package }}.tenants.tenancy import CyclesKeys, owner_of
from {{ cookiecutter.__package }}.tenants.vault import Vault

NEW, OLD = SecretStr("new-0123456789abcdefghijklmnopqrstuv"), SecretStr("old-0123456789abcdefghijklmnopqrstuv")


def test_the_secret_is_a_list_of_long_ones_newest_first() -> None:
    assert TenancySettings(tenant_keys_secret=[NEW, OLD]).tenancy_faults() == []
    for wrong in ([], [SecretStr("short")], [NEW, SecretStr("a" * 40)]):
        (fault,) = TenancySettings(tenant_keys_secret=wrong).tenancy_faults()
        assert fault.startswith("TENANT_KEYS_SECRET")


def test_a_tenant_owns_its_ledger_and_those_below() -> None:
    for scope in ("tenant:acme", "tenant:acme/app:chat", "tenant:acme/workspace:globex"):
        assert owner_of(scope) == "acme"


def test_calls_are_made_with_the_tenants_own_key_and_with_none_they_are_not_made() -> None:
    keys = CyclesKeys(TenancySettings(tenant_keys_secret=[NEW, OLD]))
    assert keys.open(Vault([OLD]).seal("cyc_live_1")) == "cyc_live_1"
    with pytest.raises(Problem, match="budget_misconfigured"):
        keys.open("")
