"""Commands that manage tenants, against the emulator."""

import json
import uuid
from typing import Any

import httpx
import pytest

from ..live import TAG
from ..places import subject_of
from ..running import ACME, ADMIN_KEY, HTTP, App, Emulator, wait_until

HELLO = {"prompt": "Hello"}
USD = 10**8


def refusal(app: App, *arguments: str, stdin: str = "") -> str:
    """Return the error code of a command that exits with 1 and explains itself on stderr."""
    answer = app.cli(*arguments, "--json", stdin=stdin)
    assert answer.returncode == 1, answer.stdout
    error: dict[str, str] = json.loads(answer.stdout)["error"]
    assert error["message"] in answer.stderr
    assert "Traceback" not in answer.stderr
    return error["code"]


def live_keys(emulator: Emulator, tenant: str) -> list[str]:
    url, owner = f"{emulator.admin_url}/v1/admin/api-keys", subject_of(tenant)["tenant"]
    keys = emulator.listed(url, "keys", tenant_id=owner)
    return [key["key_id"] for key in keys if key["status"] == "ACTIVE" and key["name"] != "test"]


def hold(emulator: Emulator, tenant: str, microcents: int) -> None:
    """Hold money as a call in flight does."""
    admin = {"X-Admin-API-Key": ADMIN_KEY}
    asked = {"tenant_id": subject_of(tenant)["tenant"], "name": "test"}
    key = HTTP.post(f"{emulator.admin_url}/v1/admin/api-keys", json=asked, headers=admin).json()["key_secret"]
    body = {
        "idempotency_key": str(uuid.uuid4()),
        "subject": subject_of(tenant),
        "action": {"kind": "llm.completion", "name": "m"},
        "estimate": {"unit": "USD_MICROCENTS", "amount": microcents},
    }
    answer = HTTP.post(f"{emulator.url}/v1/reservations", json=body, headers={"X-Cycles-API-Key": key})
    assert answer.json()["decision"] == "ALLOW"


def status(api: httpx.Client, tenant: dict[str, Any]) -> int:
    return api.post("/api/chat", json=HELLO, headers=tenant["headers"]).status_code


def test_onboarding_creates_a_funded_ledger_and_is_safe_to_repeat(installed: App, emulator: Emulator) -> None:
    fresh = f"fresh{TAG}"
    command = ("tenants", "add", fresh, "--name", "Fresh", "--budget", "2.50", "--overdraft", "0.10")
    first, again = installed.done(*command), installed.done(*command)
    assert first["tenant"] == fresh
    assert first["created"]
    assert again == {"tenant": fresh, "created": False, "api_key": None}
    ledger = emulator.ledger(fresh)
    assert (ledger["allocated"], ledger["overdraft_limit"]) == (250_000_000, 10_000_000)
    assert len(live_keys(emulator, fresh)) == 1


@pytest.mark.parametrize("other", [("--name", "Other"), ("--budget", "2.00"), ("--every", "month")])
def test_onboarding_with_other_answers_is_refused_and_points_to_what_changes_them(
    installed: App, other: tuple[str, str]
) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    answers = ("tenants", "add", tenant, "--name", tenant, "--budget", "1.00", *other)
    assert refusal(installed, *answers) == "tenant_exists"
    words = installed.cli(*answers).stderr
    for command in ("fund", "reset", "update"):
        assert f"tenants {command}" in words


@pytest.mark.parametrize(
    ("tenant", "budget", "code"), [("acme-", "1", "invalid_id"), ("amounts", "0.000000001", "invalid_amount")]
)
def test_input_that_cycles_refuses_is_refused_before_anything_is_created(
    installed: App, tenant: str, budget: str, code: str
) -> None:
    assert refusal(installed, "tenants", "add", tenant, "--name", "N", "--budget", budget) == code
    assert tenant not in installed.cli("tenants", "list").stdout.split()


def test_without_admin_access_the_missing_setting_is_named(installed: App) -> None:
    without = App(installed.folder, {**installed.environment, "CYCLES_ADMIN_API_KEY": ""})
    answer = without.cli("tenants", "add", "acme-two", "--name", "N", "--budget", "1")
    assert answer.returncode == 1
    assert "CYCLES_ADMIN_API_KEY is missing" in answer.stderr
    wrong = App(installed.folder, {**installed.environment, "CYCLES_ADMIN_API_KEY": "wrong"})
    assert refusal(wrong, "tenants", "fund", ACME, "--credit", "1") == "admin_key_refused"


def test_tenants_are_listed_without_figures_if_cycles_refuses(installed: App) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    installed.done("tenants", "fund", tenant, "--credit", "0.50")
    without = App(installed.folder, {**installed.environment, "CYCLES_ADMIN_API_KEY": "wrong"})
    for app, figures in ((installed, ("1.50", "0.00", "1.50")), (without, (None, None, None))):
        row = next(row for row in app.done("tenants", "list")["tenants"] if row["tenant"] == tenant)
        assert (row["allocated"], row["spent"], row["remaining"]) == figures
    listed = without.cli("tenants", "list")
    assert tenant in listed.stdout
    assert "refuses CYCLES_ADMIN_API_KEY" in listed.stderr


def test_fund_credits_each_time_but_a_reference_once(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    fund = ("tenants", "fund", tenant, "--credit", "0.25")
    installed.done(*fund)
    installed.done(*fund)
    assert installed.done(*fund, "--reference", f"{tenant}-1") == {"tenant": tenant, "credited": True}
    assert installed.done(*fund, "--reference", f"{tenant}-1") == {"tenant": tenant, "credited": False}
    assert emulator.ledger(tenant)["allocated"] == 175_000_000


def test_a_reference_is_not_used_for_another_amount_or_tenant(installed: App, emulator: Emulator) -> None:
    tenant, other = installed.add_tenant("1.00")["id"], installed.add_tenant("1.00")["id"]
    reference = ("--reference", f"{tenant}-1")
    installed.done("tenants", "fund", tenant, "--credit", "1", *reference)
    assert refusal(installed, "tenants", "fund", tenant, "--credit", "2", *reference) == "reference_reused"
    assert refusal(installed, "tenants", "fund", other, "--credit", "1", *reference) == "reference_reused"
    assert emulator.ledger(other)["allocated"] == USD


def test_reset_clears_spent_and_keeps_live_holds(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    hold(emulator, tenant, 30_000_000)
    reset = ("tenants", "reset", tenant, "--budget", "2.00")
    assert installed.done(*reset, "--period", "2026-12")["tenants"] == [tenant]
    ledger = emulator.ledger(tenant)
    assert (ledger["allocated"], ledger["spent"], ledger["reserved"]) == (2 * USD, 0, 30_000_000)
    installed.done("tenants", "fund", tenant, "--credit", "1.00")
    assert installed.done(*reset, "--period", "2026-12")["done_before"] == [tenant]
    assert emulator.ledger(tenant)["allocated"] == 3 * USD
    installed.done(*reset, "--period", "2027-01")
    assert emulator.ledger(tenant)["allocated"] == 2 * USD


def test_a_reset_needs_one_tenant_or_all(installed: App) -> None:
    without_amount = installed.cli("tenants", "fund", "acme", "--json")
    assert without_amount.returncode == 2
    assert json.loads(without_amount.stdout)["error"].keys() == {"code", "message"}
    assert "--credit" in without_amount.stderr
    assert installed.cli("tenants", "reset", "--budget", "1").returncode == 2
    assert installed.cli("tenants", "nonsense").returncode == installed.cli("nonsense").returncode == 2
    assert installed.cli("tenants", "reset", "acme", "--all", "--budget", "1").returncode == 2


def test_a_suspended_tenant_is_refused_until_it_is_resumed(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant()
    assert status(api, tenant) == 200
    app.done("tenants", "suspend", tenant["id"])
    wait_until(lambda: status(api, tenant) == 403, 5)
    assert emulator.ledger(tenant["id"])["status"] == "FROZEN"
    assert refusal(app, "tenants", "fund", tenant["id"], "--credit", "1") == "tenant_suspended"
    app.done("tenants", "suspend", tenant["id"])
    app.done("tenants", "resume", tenant["id"])
    wait_until(lambda: status(api, tenant) == 200, 5)


def test_close_refuses_while_holds_are_live_unless_forced(app: App, api: httpx.Client, emulator: Emulator) -> None:
    idle, busy = app.add_tenant(), app.add_tenant()
    hold(emulator, busy["id"], 1_000)
    assert refusal(app, "tenants", "close", busy["id"]) == "holds_live"
    assert status(api, busy) == 200
    app.done("tenants", "close", busy["id"], "--force")
    app.done("tenants", "close", idle["id"])
    for tenant in (busy, idle):
        wait_until(lambda headers=tenant: status(api, headers) == 401, 5)
        assert refusal(app, "tenants", "resume", tenant["id"]) == "tenant_closed"


def test_operator_gets_a_generated_password_unless_one_is_given(installed: App) -> None:
    generated = installed.done("operators", "add", "oscar")
    assert len(generated["password"]) >= 16
    given = installed.done("operators", "add", "otto", "--password-stdin", stdin="correct horse\n")
    assert given == {"operator": "otto", "created": True, "password": None}
    for password in ("short\n", "not\x07printable\n"):
        assert refusal(installed, "operators", "add", "ottokar", "--password-stdin", stdin=password) == "weak_password"


def test_operators_are_listed_replaced_only_on_request_and_removed(installed: App) -> None:
    def names() -> set[str]:
        return {row["operator"] for row in installed.done("operators", "list")["operators"]}

    installed.done("operators", "add", "ottilie")
    assert {"olga", "ottilie"} <= names()
    assert refusal(installed, "operators", "add", "ottilie") == "operator_exists"
    replaced = installed.done("operators", "add", "ottilie", "--replace")
    assert (replaced["created"], len(replaced["password"]) >= 16) == (False, True)
    assert installed.done("operators", "remove", "ottilie") == {"operator": "ottilie"}
    assert "ottilie" not in names()
    assert refusal(installed, "operators", "remove", "ottilie") == "unknown_operator"


def test_unmigrated_database_is_named(installed: App) -> None:
    fresh = {"DATABASE_URL": f"sqlite:///{installed.folder / 'empty.sqlite3'}"}
    empty = App(installed.folder, {**installed.environment, **fresh})
    assert refusal(empty, "tenants", "list") == "database"
    assert "make migrate" in empty.cli("doctor").stdout
