"""Without its key the provider is of no use: production does not serve, and `doctor` says why."""

from ..running import App


def test_the_doctor_finds_that_the_key_of_the_provider_is_missing(installed: App) -> None:
    production = {"APP_ENV": "production", "LLM_PROVIDER": ""}
    sick = App(installed.folder, installed.environment | production).cli("doctor")
    assert sick.returncode == 1
    assert "_API_KEY is missing (or set LLM_PROVIDER=demo)" in sick.stdout
