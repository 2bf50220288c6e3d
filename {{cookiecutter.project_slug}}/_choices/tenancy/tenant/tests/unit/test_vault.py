import pytest
from pydantic import SecretStr

from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.tenants.vault import Vault

OLD, NEW = SecretStr("old-secret-of-at-least-32-characters"), SecretStr("new-secret-of-at-least-32-characters")


def test_what_is_sealed_opens_again_and_reads_as_nothing_before() -> None:
    vault = Vault([NEW])
    sealed = vault.seal("cyc_live_1")
    assert "cyc_live" not in sealed
    assert vault.open(sealed) == "cyc_live_1"


def test_newest_secret_encrypts_and_any_of_them_decrypts() -> None:
    both = Vault([NEW, OLD])
    assert both.open(Vault([OLD]).seal("cyc_live_1")) == "cyc_live_1"
    assert Vault([NEW]).open(both.seal("cyc_live_1")) == "cyc_live_1"


def test_a_wrong_secret_is_told_by_name_and_shows_nothing() -> None:
    sealed = Vault([OLD]).seal("cyc_live_1")
    with pytest.raises(Problem, match="TENANT_KEYS_SECRET") as error:
        Vault([NEW]).open(sealed)
    assert NEW.get_secret_value() not in str(error.value)


def test_without_a_secret_nothing_is_sealed() -> None:
    with pytest.raises(Problem, match="TENANT_KEYS_SECRET is missing"):
        Vault([]).seal("cyc_live_1")
