"""All tenants are workspaces in one Cycles tenant, with one key: what none of them may notice of the others."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from ..places import CYCLES_TENANT
from ..running import ADMIN_KEY, HTTP, TLS, App, Emulator, scope_of, wait_until
from .test_onboarding import live_keys, refusal, status
from .test_refusals import CHAT, HELLO, assert_problem

ABOVE = f"tenant:{CYCLES_TENANT}"
USD = 10**8


@pytest.fixture
def house(alone: tuple[App, Emulator]) -> Iterator[tuple[App, Emulator, httpx.Client]]:
    """An app and an emulator of their own, where a ledger above all tenants disturbs no other test."""
    installed, emulator = alone
    with installed.serving() as app, httpx.Client(base_url=app.url, timeout=30, verify=TLS) as api:
        yield app, emulator, api


def at_cycles(emulator: Emulator, method: str, path: str, body: Any = None, **query: str) -> Any:
    admin = {"X-Admin-API-Key": ADMIN_KEY}
    answer = HTTP.request(method, f"{emulator.admin_url}/v1/admin/{path}", json=body, params=query, headers=admin)
    answer.raise_for_status()
    return answer.json()


def add_ledger(emulator: Emulator, scope: str, microcents: int) -> None:
    allocated = {"unit": "USD_MICROCENTS", "amount": microcents}
    ledger = {"tenant_id": CYCLES_TENANT, "scope": scope, "unit": "USD_MICROCENTS", "allocated": allocated}
    at_cycles(emulator, "POST", "budgets", ledger)


def test_a_tenants_budget_is_the_ledger_of_its_workspace(app: App, api: httpx.Client) -> None:
    tenant = app.add_tenant("1.00")
    budget = api.get("/api/budget/me", headers=tenant["headers"]).json()
    assert budget["tenant"] == tenant["id"]
    assert [row["scope"] for row in budget["balances"]] == [f"{ABOVE}/workspace:{tenant['id']}"]


def test_a_tenant_whose_id_begins_like_anothers_shares_nothing_with_it(
    app: App, api: httpx.Client, emulator: Emulator
) -> None:
    short, long = app.add_tenant("1.00", "initech"), app.add_tenant("2.00", "initech-2")
    api.post(CHAT, json=HELLO, headers=long["headers"])
    before = emulator.ledger("initech-2")
    budget = api.get("/api/budget/me", headers=short["headers"]).json()
    assert [row["scope"] for row in budget["balances"]] == [scope_of("initech")]
    app.done("tenants", "suspend", "initech")
    wait_until(lambda: status(api, short) == 403, 5)
    app.done("tenants", "close", "initech")
    assert emulator.ledger("initech")["status"] == "FROZEN"
    assert emulator.ledger("initech-2") == before
    assert status(api, long) == 200


def test_no_tenant_learns_the_figures_of_a_ledger_above_it(house: tuple[App, Emulator, httpx.Client]) -> None:
    app, emulator, api = house
    tenant = app.add_tenant("1.00")
    add_ledger(emulator, ABOVE, 1_234_567)
    answer = api.post(CHAT, json={**HELLO, "max_tokens": 20}, headers=tenant["headers"])
    cost = answer.json()["cost"]["amount"]
    assert answer.json()["budget"]["remaining"]["amount"] == USD - cost
    assert answer.headers["X-Budget-Remaining"] == str(USD - cost)
    (row,) = api.get("/api/budget/me", headers=tenant["headers"]).json()["balances"]
    assert row["scope"] == scope_of(tenant["id"])


def test_spent_ledger_above_the_tenants_refuses_their_calls_and_only_doctor_names_it(
    house: tuple[App, Emulator, httpx.Client],
) -> None:
    app, emulator, api = house
    tenant = app.add_tenant("1.00")
    add_ledger(emulator, ABOVE, 0)
    for _ in range(2):
        answer = api.post(CHAT, json=HELLO, headers=tenant["headers"])
        problem = assert_problem(answer, 402, "budget_exceeded")
        assert (problem["tenant"], problem["remaining"]) == (tenant["id"], None)
        assert "scope" not in problem
        assert "Retry-After" not in answer.headers
        assert ABOVE not in str(problem)
    assert emulator.ledger(tenant["id"])["reserved"] == 0
    report = app.cli("doctor")
    assert report.returncode == 1
    assert f"{ABOVE}, above all tenants, refuses every call" in report.stdout


def test_rotate_exits_with_2_because_tenants_share_a_key(alone: tuple[App, Emulator]) -> None:
    installed, emulator = alone
    installed.add_tenant("1.00", "acme")
    for command in (("rotate", "acme"), ("rotate", "acme", "--now")):
        refused = installed.cli("tenants", *command, "--json")
        assert refused.returncode == 2
        assert "CYCLES_API_KEY" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert len(live_keys(emulator, "acme")) == 1


def test_the_doctor_finds_a_key_that_cycles_does_not_know(alone: tuple[App, Emulator]) -> None:
    app, emulator = alone
    app.add_tenant("1.00", "acme")
    (key,) = live_keys(emulator, "acme")
    at_cycles(emulator, "DELETE", f"api-keys/{key}")
    sick = app.cli("doctor")
    assert sick.returncode == 1
    assert f"CYCLES_API_KEY is no live key of {CYCLES_TENANT}" in sick.stdout
    assert "CYCLES_API_KEY is no live key" in app.cli("doctor").stdout


def test_doctor_and_an_alert_tell_that_the_key_expires(alone: tuple[App, Emulator]) -> None:
    app, emulator = alone
    soon = datetime.now(UTC) + timedelta(days=10)
    asked = {"tenant_id": CYCLES_TENANT, "name": "soon", "expires_at": soon.isoformat()}
    secret = at_cycles(emulator, "POST", "api-keys", asked)["key_secret"]
    expiring = App(app.folder, app.environment | {"CYCLES_API_KEY": secret})
    report = expiring.cli("doctor")
    assert report.returncode == 0
    assert f"CYCLES_API_KEY expires at {soon:%Y-%m-%d %H:%M} UTC" in report.stdout
    for _ in range(2):
        expiring.done("housekeeping", "--once")
    with closing(sqlite3.connect(app.folder / "app.sqlite3")) as database:
        alerts = database.execute("SELECT text FROM alerts").fetchall()
    assert alerts == [(f"CYCLES_API_KEY expires at {soon:%Y-%m-%d %H:%M} UTC.",)]


def test_a_forced_close_loses_no_settlement(house: tuple[App, Emulator, httpx.Client]) -> None:
    app, emulator, api = house
    tenant = app.add_tenant("1.00")
    with api.stream("POST", CHAT, json={**HELLO, "stream": True}, headers=tenant["headers"]) as answer:
        assert answer.status_code == 200
        wait_until(lambda: emulator.live_holds(tenant["id"]) == 1, 5)
        app.done("tenants", "close", tenant["id"], "--force")
        answer.read()
    wait_until(lambda: emulator.live_holds(tenant["id"]) == 0, 5)
    assert emulator.ledger(tenant["id"])["spent"] > 0


def test_a_cycles_tenant_that_is_not_there_is_named(installed: App) -> None:
    elsewhere = App(installed.folder, {**installed.environment, "CYCLES_TENANT": "nowhere"})
    assert refusal(elsewhere, "tenants", "add", "lost", "--name", "Lost", "--budget", "1") == "tenant_not_found"
    assert "nowhere" in elsewhere.cli("tenants", "add", "lost", "--name", "Lost", "--budget", "1").stderr
    nobody = App(installed.folder, {**installed.environment, "CYCLES_TENANT": ""})
    assert refusal(nobody, "tenants", "add", "lost", "--name", "Lost", "--budget", "1") == "not_configured"
