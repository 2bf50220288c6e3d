"""Recurring budgets and housekeeping as operators and tenants see them."""

import secrets
import signal
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import httpx
import pytest

from {{ cookiecutter.__package }}.cli.output import command_line

from ..commands import Running
from ..running import PACKAGE, STARTED_WITH, App, wait_until


def test_a_recurring_budget_is_shown_wherever_the_budget_is(
    app: App, api: httpx.Client, operator: httpx.Client
) -> None:
    name = f"t-{secrets.token_hex(4)}"
    tenant = app.add_tenant("1.00", name, "--every", "month", "--timezone", "Asia/Tokyo")
    row = next(row for row in app.done("tenants", "list")["tenants"] if row["tenant"] == name)
    assert (row["every"], row["timezone"]) == ("month", "Asia/Tokyo")
    renews_at = datetime.fromisoformat(row["renews_at"])
    local = renews_at.astimezone(ZoneInfo("Asia/Tokyo"))
    assert (local.day, local.hour, local.minute) == (1, 0, 0)
    assert renews_at > datetime.now(UTC)
    answer = api.get("/api/budget/me", headers=tenant["headers"]).json()
    assert answer["renews_at"].endswith("Z")
    assert datetime.fromisoformat(answer["renews_at"]) == renews_at
    assert operator.get(f"/api/budget/{name}").json()["renews_at"] == answer["renews_at"]
    assert f"{renews_at:%Y-%m-%d %H:%M:%S}" in operator.get(f"/dashboard/tenants/{name}").text
    again = app.done("tenants", "add", name, "--name", name, "--budget", "1.00", "--every", "month")
    assert again["created"] is False
    assert app.done("tenants", "update", name, "--every", "none")["renews_at"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give --budget"),
        (("--every", "year"), "'year' is not a period"),
        (("--every", "month", "--timezone", "Berlin"), "'Berlin' is not a time zone"),
        (("--budget", "2.00"), "does not recur"),
    ],
)
def test_wrong_usage_of_update_exits_with_2(app: App, arguments: tuple[str, ...], message: str) -> None:
    tenant = app.add_tenant("1.00")
    done = app.cli("tenants", "update", tenant["id"], *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_housekeeping_runs_once_for_cron_and_readiness_tells_when(app: App, api: httpx.Client) -> None:
    before = datetime.now(UTC)
    assert app.done("housekeeping", "--once") == {}
    # the app has admin access, so its own passes succeed too
    last = wait_until(lambda: api.get("/readyz").json()["housekeeping"])
    assert (before - datetime.fromisoformat(last)).total_seconds() < 60
    assert app.metric("housekeeping_success_timestamp_seconds") > before.timestamp() - 60


def test_housekeeping_without_admin_access_is_refused(installed: App) -> None:
    without = App(installed.folder, {**installed.environment, "CYCLES_ADMIN_API_KEY": ""})
    done = without.cli("housekeeping", "--once")
    assert done.returncode == 1
    assert "CYCLES_ADMIN_API_KEY is missing" in done.stderr


def test_housekeeping_as_a_process_of_its_own_ends_on_sigterm(installed: App) -> None:
    began = datetime.now(UTC)
    running = Running(PACKAGE, ["housekeeping"], installed.folder, STARTED_WITH | installed.environment, {})
    try:
        wait_until(lambda: succeeded_since(installed, began), what="a pass that succeeded")
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 0
    finally:
        running.kill()
        running.wait()


def test_ctrl_c_ends_a_command_without_a_traceback() -> None:
    with pytest.raises(SystemExit) as end, command_line():
        raise KeyboardInterrupt
    assert end.value.code == 130


def succeeded_since(installed: App, began: datetime) -> bool:
    with installed.serving(CYCLES_ADMIN_API_KEY="") as app:
        last = wait_until(lambda: httpx.get(f"{app.url}/readyz").json()["housekeeping"])
    return datetime.fromisoformat(last) >= began
