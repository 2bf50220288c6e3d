"""Faults of a configuration are named as in .env.example."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

import dev_identity
from {{ cookiecutter.__package }}.cli.doctor import UNUSED
from {{ cookiecutter.__package }}.core.config import Settings
from {{ cookiecutter.__package }}.web.startup import faults

from ..places import SETTINGS

GOOD = {
    "APP_ENV": "production",
    "SECRET_KEY": "new-0123456789abcdefghijklmnopqrstuv, old-0123456789abcdefghijklmnopqrstuv",
    "CYCLES_BASE_URL": "http://127.0.0.1:7878",
    "LLM_PROVIDER": "demo",
    **dev_identity.environment(),
    **SETTINGS,
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_a_good_configuration_may_serve(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LLM_ALLOWED_MODELS", "")
    settings = Settings()
    assert faults(settings) == []
    assert [secret.get_secret_value()[:3] for secret in settings.secret_key] == ["new", "old"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", ""),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "a" * 40),
        ("SECRET_KEY", "0123456789abcdefghijklmnopqrstuv,short"),
        ("METRICS_TOKEN", "short"),
        ("CYCLES_BASE_URL", ""),
        ("ALLOWED_HOSTS", "*"),
        ("LLM_MODEL", "gpt-0"),
        ("BUDGET_FAIL_OPEN", "true"),
        *((name, "") for name in SETTINGS),
    ],
)
def test_each_fault_names_its_setting(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    (fault,) = faults(Settings())
    assert name in fault
    assert "0123456789" not in fault


@pytest.mark.parametrize("chain", [">", "{0} > gpt-0", "{0}", "{0} >", "{0} > {0}", "{0} > gpt-4o, {0} > gpt-4o-mini"])
def test_a_chain_of_fallbacks_has_two_allowed_models_and_none_twice(
    environment: pytest.MonkeyPatch, chain: str
) -> None:
    environment.setenv("LLM_ALLOWED_MODELS", "gpt-4o, gpt-4o-mini")
    environment.setenv("LLM_FALLBACKS", chain.format(Settings().llm_model))
    (fault,) = faults(Settings())
    assert "LLM_FALLBACKS" in fault
    environment.setenv("LLM_FALLBACKS", f"{Settings().llm_model} > gpt-4o-mini, gpt-4o>gpt-4o-mini")
    assert faults(Settings()) == []
    assert Settings().fallbacks == {Settings().llm_model: ["gpt-4o-mini"], "gpt-4o": ["gpt-4o-mini"]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BUDGET_FAIL_OPEN_LIMIT", "-1"),
        ("BUDGET_FAIL_OPEN_LIMIT", "100000000000"),  # USD; in microcents more than SQLite can count
        ("LLM_MAX_TOKENS", "0"),
        ("DATABASE_URL", "mysql://localhost/app"),
        ("DATABASE_URL", "postgresql://app:a#b@localhost/app"),
        ("CYCLES_BASE_URL", "cycles:7878"),
        ("CYCLES_ADMIN_URL", "http://cycles:78780"),
        ("ALLOWED_HOSTS", ","),
        ("ALLOWED_HOSTS", ".example.com"),
        ("ALLOWED_HOSTS", "localhost,https://example.com"),
        ("ALLOWED_HOSTS", "example.com:8000"),
        ("CORS_ALLOW_ORIGINS", "example.com"),
        ("CORS_ALLOW_ORIGINS", "https://example.com/"),
    ],
)
def test_invalid_values_are_refused(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_hosts_and_origins_may_be_names_and_addresses(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ALLOWED_HOSTS", "example.com, my_app, 10.0.0.7, [::1], EXAMPLE.org")
    environment.setenv("CORS_ALLOW_ORIGINS", "https://example.com:8443, http://[::1]:8000, *")
    assert faults(Settings()) == []


def test_the_environment_wins_over_the_env_file(environment: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("LLM_MAX_TOKENS=7\nPORT=9000\nMETRICS_TOKEN=of the file\n", encoding="utf-8")
    environment.setenv("PORT", "9001")
    environment.setenv("METRICS_TOKEN", "")
    assert (Settings().llm_max_tokens, Settings().port, Settings().metrics_token) == (7, 9001, [])


def test_no_secret_is_in_what_settings_print(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CYCLES_ADMIN_API_KEY", "0123456789-admin")
    assert "0123456789" not in repr(Settings())
    environment.setenv("DATABASE_URL", "postgres://app:0123456789@localhost/app")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "0123456789" not in str(refused.value)


def test_env_example_lists_every_setting_that_has_an_effect() -> None:
    text = (Path(__file__).parents[2] / ".env.example").read_text("utf-8")
    listed = set(re.findall(r"^([A-Z0-9_]+)=", text, re.MULTILINE))
    assert listed == {name.upper() for name in Settings.model_fields.keys() - UNUSED}


def test_a_secret_may_be_a_file_named_as_the_setting(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.delenv("SECRET_KEY")
    (tmp_path / "secret_key").write_text("new-0123456789abcdefghijklmnopqrstuv,old-0123456789abcdefghijklmnopqrstuv\n")
    environment.setattr(Settings, "model_config", Settings.model_config | {"secrets_dir": tmp_path})
    assert [secret.get_secret_value()[:3] for secret in Settings().secret_key] == ["new", "old"]
