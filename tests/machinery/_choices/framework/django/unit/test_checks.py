from pathlib import Path

import pytest

import dev_identity

from ..places import SETTINGS
from ..running import App

PRODUCTION = {
    "SECRET_KEY": "0123456789abcdefghijklmnopqrstuv",
    "CYCLES_BASE_URL": "http://127.0.0.1:7878",
    "LLM_PROVIDER": "demo",
    **dev_identity.environment(),
    **SETTINGS,
}


@pytest.mark.parametrize(
    "command", ["migrate", "check", "makemigrations --check", "collectstatic --noinput --verbosity 0"]
)
def test_command_needs_no_setting(tmp_path: Path, command: str) -> None:
    done = App(tmp_path, {}).cli(*command.split())
    assert (done.returncode, done.stderr) == (0, "")


def test_deployment_with_all_settings_passes(tmp_path: Path) -> None:
    done = App(tmp_path, PRODUCTION).cli("check", "--deploy", "--fail-level", "WARNING")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "short"),
        ("ALLOWED_HOSTS", "*"),
        ("CYCLES_BASE_URL", ""),
        ("LLM_MODEL", "gpt-0"),
        *((name, "") for name in SETTINGS),
    ],
)
def test_check_deploy_reports_each_fault_of_the_settings(tmp_path: Path, name: str, value: str) -> None:
    done = App(tmp_path, {**PRODUCTION, name: value}).cli("check", "--deploy")
    assert done.returncode == 1
    assert f"(web.E001) {name}" in done.stderr


def test_unreadable_setting_is_named_without_its_value(tmp_path: Path) -> None:
    done = App(tmp_path, {"PORT": "secret-port"}).cli("check")
    assert done.returncode == 1
    assert "PORT: Input should be a valid integer" in done.stderr
    assert "secret-port" not in done.stderr
    assert "Traceback" not in done.stderr
