"""Commands run at the same time, and commands with impossible values."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ..running import HTTP, App, Emulator
from .test_onboarding import USD, refusal

MIGRATE = [sys.executable, "-m", "{{ cookiecutter.__package }}", "migrate"]


def migrate_at_once(app: App, database_url: str) -> None:
    """Migrate an empty database by three processes at the same time. All must succeed."""
    settings = {**os.environ, **app.environment, "DATABASE_URL": database_url}
    running = [
        subprocess.Popen(MIGRATE, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3)
    ]
    told = [process.communicate(timeout=60)[0] for process in running]
    assert [process.returncode for process in running] == [0] * 3, "\n".join(told)
    migrated = App(app.folder, app.environment | {"DATABASE_URL": database_url})
    assert migrated.done("tenants", "list") == {"tenants": []}


def test_the_installed_command_has_the_projects_name(installed: App) -> None:
    name = "{{ cookiecutter.__package }}".replace("_", "-")
    script, settings = str(Path(sys.executable).with_name(name)), {**os.environ, **installed.environment}
    listed = subprocess.run([script, "tenants", "list", "--json"], env=settings, capture_output=True, check=True)
    assert "tenants" in json.loads(listed.stdout)
    alone = subprocess.run([script], env=settings, capture_output=True, text=True, check=False)
    assert (alone.returncode, alone.stdout) == (2, "")
    assert "command" in alone.stderr.lower()
    assert "'COMMAND'" not in alone.stderr
    for arguments in ([], ["--all"]):
        command = [script, "tenants", "suspend", *arguments]
        refused = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
        assert refused.returncode == 2
        assert refused.stderr.startswith(f"usage: {name} tenants suspend")


def test_every_command_that_changes_something_is_in_the_audit_log(installed: App) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    url = "json://user:secret@127.0.0.1:9/"  # the password is not shown
    for command in (
        ("tenants", "fund", tenant, "--credit", "0.50"),
        ("tenants", "reset", tenant, "--budget", "2.00", "--period", "2026-12"),
        ("tenants", "update", tenant, "--budget", "3.00", "--every", "month", "--alert-url", url),
        *(("tenants", verb, tenant) for verb in ("observe", "enforce", "suspend", "resume", "report")),
        ("budgets", "set", tenant, "--end-user", "Zo\u00eb", "--budget", "0.10"),
        ("budgets", "list", tenant),
        ("tenants", "close", tenant),
        ("operators", "add", "otis"),
        ("operators", "remove", "otis"),
    ):
        installed.done(*command)
    assert installed.cli("tenants", "fund", tenant, "--credit", "1").returncode == 1
    assert "Traceback" not in installed.cli("tenants", "suspend", "\udcff" * 100).stderr
    with closing(sqlite3.connect(installed.folder / "app.sqlite3")) as database:
        query = "SELECT action, outcome FROM audit WHERE operator LIKE 'cli:%' AND tenant IN (?, '') ORDER BY at"
        rows = [row for row in database.execute(query, (tenant,)) if "olga" not in row[0]]
    assert rows == [
        ("add 1.00", "done"),
        ("fund 0.50", "done"),
        ("reset 2.00 2026-12", "done"),
        ("update 3.00 month", "done"),
        *((verb, "done") for verb in ("observe", "enforce", "suspend", "resume")),
        ("set budget 0.10 Zo\u00eb", "done"),
        ("close", "done"),
        ("add operator otis", "done"),
        ("remove operator otis", "done"),
        ("fund 1", "refused: tenant_closed"),
    ]


@pytest.mark.parametrize("attempt", range(3))  # a race: one may go well by chance
def test_migrations_are_safe_to_run_concurrently(installed: App, tmp_path: Path, attempt: int) -> None:
    migrate_at_once(installed, f"sqlite:///{tmp_path / f'{attempt}.sqlite3'}")


@pytest.mark.parametrize("command", [["migrate"], ["tenants", "list"]], ids=lambda command: command[0])
@pytest.mark.parametrize(
    "url", ["postgresql://app@127.0.0.1:9/app", "sqlite:////proc/app.sqlite3", "mysql://localhost/app", "app.sqlite3"]
)
def test_commands_name_the_setting_of_a_database_that_cannot_be_used(
    installed: App, command: list[str], url: str
) -> None:
    refused = App(installed.folder, installed.environment | {"DATABASE_URL": url}).cli(*command)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "DATABASE_URL" in refused.stderr.splitlines()[-1]
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("period", ["banana", "2026-13"])
def test_a_period_that_is_none_is_a_usage_error(installed: App, emulator: Emulator, period: str) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    refused = installed.cli("tenants", "reset", tenant, "--budget", "2", "--period", period, "--json")
    assert refused.returncode == 2
    error = json.loads(refused.stdout)["error"]
    assert error["code"] == "usage"
    assert "2026-12" in error["message"]
    assert error["message"] in refused.stderr
    assert emulator.ledger(tenant)["allocated"] == USD


def test_a_credit_beyond_what_a_ledger_can_hold_is_refused_before_it_is_sent(
    installed: App, emulator: Emulator
) -> None:
    tenant = installed.add_tenant("90000000000")["id"]
    fund = ("tenants", "fund", tenant, "--reference", "all of it", "--credit")
    assert refusal(installed, *fund, "3000000000") == "invalid_amount"
    assert refusal(installed, *fund, "1e9") == refusal(installed, *fund, "99999999999999999999") == "invalid_amount"
    assert emulator.ledger(tenant)["allocated"] == 90_000_000_000 * USD
    assert installed.done(*fund, "1")["credited"]


def test_doctor_reports_a_proxy_that_is_not_trusted(installed: App, tmp_path: Path) -> None:
    """Behind it all callers have one address, for throttles and logs. The test's own address is that of the proxy."""

    def warnings(trusted: str, header: str) -> list[str]:
        settings = {"CYCLES_JOURNAL_DIR": str(tmp_path), "FORWARDED_ALLOW_IPS": trusted}
        with installed.serving(**settings) as serving:
            for _ in range(2):
                assert HTTP.get(f"{serving.url}/healthz", headers={header: "203.0.113.7"}).status_code == 200
        report = App(installed.folder, installed.environment | settings).cli("doctor", "--json").stdout
        return [check["message"] for check in json.loads(report)["checks"] if check["check"] == "proxy"]

    (warning,) = warnings("10.9.9.9", "X-Forwarded-For")
    assert "127.0.0.1" in warning
    assert warnings("127.0.0.1", "X-Forwarded-For") == warnings("10.9.9.9", "X-Other") == []
