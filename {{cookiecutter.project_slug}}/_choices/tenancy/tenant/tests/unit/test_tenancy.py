import pytest
from pydantic import SecretStr

from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.core.tenancy_settings import TenancySettings
from {{ cookiecutter.__package }}.tenants.tenancy import CyclesKeys, owner_of

NEW, OLD = SecretStr("new-0123456789abcdefghijklmnopqrstuv"), SecretStr("old-0123456789abcdefghijklmnopqrstuv")


def test_the_secret_is_a_list_of_long_ones_newest_first() -> None:
    assert TenancySettings(tenant_keys_secret=[NEW, OLD]).tenancy_faults() == []
    for wrong in ([], [SecretStr("short")], [NEW, SecretStr("a" * 40)]):
        (fault,) = TenancySettings(tenant_keys_secret=wrong).tenancy_faults()
        assert fault.startswith("TENANT_KEYS_SECRET")


def test_a_tenant_owns_its_ledger_and_those_below() -> None:
    for scope in ("tenant:acme", "tenant:acme/app:chat", "tenant:acme/workspace:globex"):
        assert owner_of(scope) == "acme"


def keys(*secrets: SecretStr) -> CyclesKeys:
    return CyclesKeys(TenancySettings(tenant_keys_secret=[*secrets]))


def test_newest_secret_encrypts_and_any_of_them_decrypts() -> None:
    sealed = keys(OLD).seal("cyc_live_1")
    assert "cyc_live" not in sealed
    assert keys(NEW, OLD).open(sealed) == "cyc_live_1"
    assert keys(NEW).open(keys(NEW, OLD).seal("cyc_live_1")) == "cyc_live_1"


def test_key_without_its_secret_is_refused_without_details() -> None:
    for opened in (keys(NEW), keys()):
        with pytest.raises(Problem, match=r"^budget_misconfigured$"):
            opened.open(keys(OLD).seal("cyc_live_1"))
    with pytest.raises(Problem, match=r"^budget_misconfigured$"):
        keys(NEW).open("")
    with pytest.raises(Problem, match="TENANT_KEYS_SECRET is missing"):
        keys().seal("cyc_live_1")
