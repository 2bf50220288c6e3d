"""Keeping tenants from the command line, against the emulator."""

import json
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from itertools import count
from typing import Any

import httpx
import pytest

from ..listening import Quiet, listening
from ..live import TAG
from ..places import CLOSING, ONBOARDING, subject_of
from ..running import (
    ACME,
    ADMIN_KEY,
    HTTP,
    PACKAGE,
    App,
    Emulator,
    process,
    wait_until,
)

HELLO = {"prompt": "Hello"}
USD = 10**8


def refusal(app: App, *arguments: str) -> str:
    """The code by which a command is refused: exit 1, one JSON object on stdout, words on stderr."""
    answer = app.cli(*arguments, "--json")
    assert answer.returncode == 1, answer.stdout
    error: dict[str, str] = json.loads(answer.stdout)["error"]
    assert error["message"] in answer.stderr
    assert "Traceback" not in answer.stderr
    return error["code"]


def live_keys(emulator: Emulator, tenant: str) -> list[str]:
    url, owner = f"{emulator.admin_url}/v1/admin/api-keys", subject_of(tenant)["tenant"]
    keys = emulator.listed(url, "keys", tenant_id=owner)
    return [key["key_id"] for key in keys if key["status"] == "ACTIVE" and key["name"] != "test"]


Send = Callable[[], httpx.Response]


@contextmanager
def relayed(
    app: App, meddle: Callable[[str, Send], httpx.Response | None], setting: str = "CYCLES_ADMIN_URL"
) -> Iterator[App]:
    """The app with a relay to the server in `setting`: `meddle` sends each request, None cuts the connection."""
    url, sent = app.environment[setting], ("Content-Type", "X-Admin-API-Key", "X-Cycles-API-Key")

    class Relay(Quiet, BaseHTTPRequestHandler):
        def relay(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            passed = {name: self.headers[name] for name in sent if name in self.headers}

            def send() -> httpx.Response:
                return HTTP.request(self.command, url + self.path, content=body, headers=passed)

            if answer := meddle(f"{self.command} {self.path}", send):
                self.send_response(answer.status_code)
                self.end_headers()
                self.wfile.write(answer.content)

        do_GET = do_POST = do_PATCH = do_DELETE = relay  # noqa: N815

    with listening(Relay) as way:
        yield App(app.folder, {**app.environment, setting: way})


def kill(app: App, requests: int, *arguments: str) -> None:
    """Kill a command when Cycles has done what its request after so many others asks for, before it is told."""
    earlier, reached, killed = count(), threading.Event(), threading.Event()

    def meddle(_: str, send: Send) -> httpx.Response | None:
        answer = send()
        if next(earlier) != requests:
            return answer
        reached.set()
        killed.wait(30)
        return None

    with (
        relayed(app, meddle) as harmed,
        process([PACKAGE, *arguments], app.folder, harmed.environment) as running,
    ):
        assert reached.wait(30)
        running.kill()
        assert running.wait() != 0
        killed.set()


def hold(emulator: Emulator, tenant: str, microcents: int) -> None:
    """A call of the tenant in flight."""
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


def make_old(app: App, table: str, column: str) -> None:
    """Let a time that is noted in the database be long ago."""
    with closing(sqlite3.connect(app.folder / "app.sqlite3")) as database, database:
        long_ago = f"UPDATE {table} SET {column} = '2026-01-01 00:00:00.000000' WHERE {column} IS NOT NULL"  # noqa: S608
        assert database.execute(long_ago).rowcount


def status(api: httpx.Client, tenant: dict[str, Any]) -> int:
    return api.post("/api/chat", json=HELLO, headers=tenant["headers"]).status_code


def test_onboarding_makes_a_funded_ledger_and_the_same_again_changes_nothing(
    installed: App, emulator: Emulator
) -> None:
    fresh = f"fresh{TAG}"
    command = ("tenants", "add", fresh, "--name", "Fresh", "--budget", "2.50", "--overdraft", "0.10")
    first, again = installed.done(*command), installed.done(*command)
    assert first["tenant"] == fresh
    assert first["created"]
    assert again == {"tenant": fresh, "created": False, "api_key": None}
    ledger = emulator.ledger(fresh)
    assert (ledger["allocated"], ledger["overdraft_limit"]) == (250_000_000, 10_000_000)
    assert len(live_keys(emulator, fresh)) == 1


def test_onboarding_again_with_other_answers_is_refused_and_points_to_fund_and_reset(installed: App) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    for name, budget in (("Other", "1.00"), (tenant, "2.00")):
        answers = ("tenants", "add", tenant, "--name", name, "--budget", budget)
        assert refusal(installed, *answers) == "tenant_exists"
        words = installed.cli(*answers).stderr
        assert "tenants fund" in words
        assert "tenants reset" in words


@pytest.mark.parametrize("requests", range(ONBOARDING))
def test_onboarding_that_is_killed_is_completed_by_the_same_again_with_one_live_key(
    installed: App, emulator: Emulator, requests: int
) -> None:
    tenant = f"killed-{requests}{TAG}"
    command = ("tenants", "add", tenant, "--name", "Killed", "--budget", "5.00")
    kill(installed, requests, *command)
    completed = installed.done(*command)
    assert completed["created"]
    assert len(live_keys(emulator, tenant)) == 1
    assert emulator.ledger(tenant)["allocated"] == 5 * USD


@pytest.mark.parametrize("requests", range(ONBOARDING))
def test_onboarding_whose_request_does_not_arrive_is_completed_by_the_same_again(
    installed: App, emulator: Emulator, requests: int
) -> None:
    tenant, earlier = f"cut-{requests}{TAG}", count()
    command = ("tenants", "add", tenant, "--name", "Cut", "--budget", "5.00")
    with relayed(installed, lambda _, send: send() if next(earlier) < requests else None) as harmed:
        assert refusal(harmed, *command) == "admin_silent"
    assert installed.done(*command)["created"]
    assert len(live_keys(emulator, tenant)) == 1


@pytest.mark.parametrize(
    ("tenant", "budget", "code"), [("acme-", "1", "invalid_id"), ("amounts", "0.000000001", "invalid_amount")]
)
def test_what_cycles_would_not_take_is_refused_before_anything_is_made(
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


def test_each_fund_credits_but_one_reference_only_once(installed: App, emulator: Emulator) -> None:
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


def test_a_credit_with_a_reference_that_is_killed_is_completed_once(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    fund = ("tenants", "fund", tenant, "--credit", "1.00", "--reference", f"{tenant} invoice 7")
    kill(installed, 0, *fund)
    assert installed.done(*fund)["credited"]
    assert not installed.done(*fund)["credited"]
    assert emulator.ledger(tenant)["allocated"] == 2 * USD


def test_what_was_interrupted_too_long_ago_to_be_told_is_done_when_a_person_decides_so(
    installed: App, emulator: Emulator
) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    fund = ("tenants", "fund", tenant, "--credit", "1.00", "--reference", f"{tenant} invoice 8")
    kill(installed, 0, *fund)
    make_old(installed, "adjustments", "created_at")
    assert refusal(installed, *fund) == "outcome_unknown"
    assert installed.done(*fund, "--again")["credited"]
    assert not installed.done(*fund, "--again")["credited"]
    assert emulator.ledger(tenant)["allocated"] == 3 * USD  # the person was wrong


def test_a_reset_begins_anew_and_keeps_live_holds(installed: App, emulator: Emulator) -> None:
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


def test_a_reset_of_all_that_is_killed_is_completed_by_the_same_again(
    alone: tuple[App, Emulator],
) -> None:
    app, emulator = alone
    for tenant in ("acme", "globex", "initech", "umbrella"):
        app.add_tenant("1.00", tenant)
    app.done("tenants", "suspend", "umbrella")
    hold(emulator, "globex", 1_000)
    reset = ("tenants", "reset", "--all", "--budget", "9.00", "--period", "2026-12")
    kill(app, 1, *reset)
    rest = app.done(*reset)
    assert rest == {"tenants": ["globex", "initech"], "done_before": ["acme"], "skipped": ["umbrella"]}
    assert {emulator.ledger(tenant)["allocated"] for tenant in ("acme", "globex", "initech")} == {9 * USD}
    assert emulator.ledger("globex")["reserved"] == 1_000


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


def test_a_tenant_is_closed_only_when_no_hold_lives_unless_forced(
    app: App, api: httpx.Client, emulator: Emulator
) -> None:
    idle, busy = app.add_tenant(), app.add_tenant()
    hold(emulator, busy["id"], 1_000)
    assert refusal(app, "tenants", "close", busy["id"]) == "holds_live"
    assert status(api, busy) == 200
    app.done("tenants", "close", busy["id"], "--force")
    app.done("tenants", "close", idle["id"])
    for tenant in (busy, idle):
        wait_until(lambda headers=tenant: status(api, headers) == 401, 5)
        assert refusal(app, "tenants", "resume", tenant["id"]) == "tenant_closed"


@pytest.mark.parametrize("requests", range(CLOSING))
def test_a_close_that_is_killed_is_completed_by_running_it_again(
    installed: App, emulator: Emulator, requests: int
) -> None:
    whole, killed = installed.add_tenant()["id"], installed.add_tenant()["id"]
    installed.done("tenants", "close", whole)
    kill(installed, requests, "tenants", "close", killed)
    installed.done("tenants", "close", killed)
    assert emulator.ledger(killed)["status"] == emulator.ledger(whole)["status"] == "FROZEN"
    assert len(live_keys(emulator, killed)) == len(live_keys(emulator, whole))
    assert refusal(installed, "tenants", "resume", killed) == "tenant_closed"


def test_a_close_that_is_killed_is_completed_while_a_call_is_in_flight(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant()["id"]
    kill(installed, 1, "tenants", "close", tenant)  # the tenant is closed, its ledger not frozen yet
    hold(emulator, tenant, 1_000)
    keys = live_keys(emulator, tenant)
    installed.done("tenants", "close", tenant)
    ledger = emulator.ledger(tenant)
    assert (ledger["status"], ledger["reserved"]) == ("FROZEN", 1_000)
    assert live_keys(emulator, tenant) == keys  # the call needs its key to settle


def test_an_operator_gets_one_made_up_password_unless_one_is_given(installed: App) -> None:
    made_up = installed.done("operators", "add", "oscar")
    assert len(made_up["password"]) >= 16
    given = installed.done("operators", "add", "otto", "--password-stdin", stdin="correct horse\n")
    assert given == {"operator": "otto", "created": True, "password": None}
    short = installed.cli("operators", "add", "otto", "--password-stdin", stdin="short\n")
    assert short.returncode == 1


def test_a_database_that_was_not_migrated_is_told_in_words(installed: App) -> None:
    fresh = {"DATABASE_URL": f"sqlite:///{installed.folder / 'empty.sqlite3'}"}
    empty = App(installed.folder, {**installed.environment, **fresh})
    assert refusal(empty, "tenants", "list") == "database"
    assert "make migrate" in empty.cli("doctor").stdout
