"""Each tenant has a Cycles tenant and a key of its own: how they are kept, and what becomes of callers without."""

import json
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import chain

import httpx
import pytest

from ..live import TAG
from ..running import HTTP, App, Emulator, run_emulator, wait_until
from .faults import Send, make_old, relayed
from .test_onboarding import live_keys, refusal, status
from .test_refusals import CHAT, HELLO, PAID, admin, assert_problem


def test_two_that_onboard_a_tenant_at_the_same_moment_end_in_one_live_key(
    app: App, api: httpx.Client, emulator: Emulator
) -> None:
    both = threading.Barrier(2, timeout=30)

    def meddle(request: str, send: Send) -> httpx.Response:
        answer = send()
        if request == "POST /v1/admin/api-keys":
            both.wait()  # each has a key, and none has stored it
        return answer

    twice = f"twice{TAG}"
    command = ("tenants", "add", twice, "--name", "Twice", "--budget", "5.00")
    with relayed(app, meddle) as harmed, ThreadPoolExecutor() as runs:
        answers = list(runs.map(lambda _: harmed.done(*command), range(2)))
    (told,) = (answer["api_key"] for answer in answers if answer["created"])
    assert len(live_keys(emulator, twice)) == 1
    assert status(api, {"headers": app.headers(twice, told)}) == 200


def test_no_call_fails_and_no_settlement_is_lost_while_the_cycles_key_is_rotated(
    app: App, api: httpx.Client, emulator: Emulator
) -> None:
    tenant = app.add_tenant("1000.00")
    old, rotated = live_keys(emulator, tenant["id"]), threading.Event()

    def call(_: int) -> list[httpx.Response]:
        answers = []
        while not rotated.is_set():
            answers.append(api.post(CHAT, json=HELLO, headers=tenant["headers"]))
        return [*answers, api.post(CHAT, json=HELLO, headers=tenant["headers"])]

    with ThreadPoolExecutor() as callers:
        calls = callers.map(call, range(4))
        try:
            app.done("tenants", "rotate", tenant["id"])
            assert set(live_keys(emulator, tenant["id"])) > set(old)
            app.done("tenants", "rotate", tenant["id"], "--now")
        finally:
            rotated.set()
    answers = list(chain.from_iterable(calls))
    assert {answer.status_code for answer in answers} == {200}
    charged = sum(answer.json()["cost"]["amount"] for answer in answers)
    assert (emulator.ledger(tenant["id"])["spent"], emulator.live_holds(tenant["id"])) == (charged, 0)
    (new,) = live_keys(emulator, tenant["id"])
    assert new not in old


def test_a_replaced_key_is_revoked_in_time_by_an_app_that_has_admin_access(alone: tuple[App, Emulator]) -> None:
    app, emulator = alone
    app.add_tenant("1.00", "acme")
    app.done("tenants", "rotate", "acme")
    assert len(live_keys(emulator, "acme")) == 2
    make_old(app, "tenants", "retire_at")
    with app.serving() as serving:
        wait_until(lambda: len(live_keys(emulator, "acme")) == 1)
        assert HTTP.post(f"{serving.url}/api/chat", json=HELLO, headers=app.tenants["acme"]["headers"]).is_success


def test_keys_of_a_closed_tenant_are_revoked_after_the_grace_period(alone: tuple[App, Emulator]) -> None:
    app, emulator = alone
    app.add_tenant("1.00", "acme")
    app.done("tenants", "close", "acme")
    app.done("housekeeping", "--once")
    assert len(live_keys(emulator, "acme")) == 1
    make_old(app, "tenants", "retire_at")
    app.done("housekeeping", "--once")
    assert live_keys(emulator, "acme") == []


def test_a_tenant_that_is_closed_in_cycles_is_refused_and_told_no_internals(app: App, api: httpx.Client) -> None:
    tenant = app.add_tenant("1.00")
    admin(app, "PATCH", f"/v1/admin/tenants/{tenant['id']}", {"status": "SUSPENDED"})
    assert_problem(api.post(CHAT, json=HELLO, headers=tenant["headers"]), 403, "tenant_suspended")
    admin(app, "PATCH", f"/v1/admin/tenants/{tenant['id']}", {"status": "CLOSED"})
    answer = api.post(CHAT, json=HELLO, headers=tenant["headers"])
    assert answer.status_code in (403, 500)
    assert "KEY_REVOKED" not in answer.text


def test_a_budget_that_was_never_set_up_is_our_fault_and_told_without_internals(
    installed: App, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    with run_emulator(tmp_path_factory.mktemp("other")) as other:
        places = {"CYCLES_BASE_URL": other.url, "CYCLES_ADMIN_URL": other.url}
        elsewhere = App(installed.folder, installed.environment | places)
        with installed.serving(CYCLES_BASE_URL=other.url) as serving:

            def assert_misconfigured(*internals: str) -> None:
                for path, body in PAID:
                    headers = installed.tenants[tenant]["headers"]
                    answer = HTTP.post(serving.url + path, json=body, headers=headers, timeout=30)
                    assert_problem(answer, 500, "budget_misconfigured")
                    assert not any(word in answer.text for word in internals)

            assert_misconfigured("KEY_NOT_FOUND", "UNAUTHORIZED")  # this engine has never seen the key
            admin(elsewhere, "POST", "/v1/admin/tenants", {"tenant_id": tenant, "name": tenant})
            elsewhere.done("tenants", "rotate", tenant)
            assert_misconfigured("BUDGET_NOT_FOUND", "NOT_FOUND")
            ledger = {"tenant_id": tenant, "scope": f"tenant:{tenant}", "unit": "TOKENS"}
            admin(elsewhere, "POST", "/v1/admin/budgets", ledger | {"allocated": {"unit": "TOKENS", "amount": 1000}})
            assert_misconfigured("UNIT_MISMATCH", "TOKENS")
        assert other.live_holds(tenant) == 0


def test_the_encryption_secret_can_be_rotated(alone: tuple[App, Emulator]) -> None:
    app, _ = alone
    app.add_tenant("1.00", "acme")
    old = app.environment["TENANT_KEYS_SECRET"]
    new = "another-secret-of-more-than-32-characters"
    app.environment["TENANT_KEYS_SECRET"] = new
    assert refusal(app, "doctor") == "faults"
    app.environment["TENANT_KEYS_SECRET"] = f"{new},{old}"
    app.done("tenants", "rotate", "acme")
    app.environment["TENANT_KEYS_SECRET"] = new
    app.done("doctor")


def test_the_doctor_finds_a_revoked_key(alone: tuple[App, Emulator]) -> None:
    app, emulator = alone
    app.add_tenant("1.00", "acme")
    (key,) = live_keys(emulator, "acme")
    admin(app, "DELETE", f"/v1/admin/api-keys/{key}")
    sick = app.cli("doctor")
    assert sick.returncode == 1
    assert "tenants rotate acme" in sick.stdout


@pytest.mark.parametrize(("days", "level"), [(-1, "fault"), (10, "warning")])
def test_the_doctor_finds_a_key_that_expires(alone: tuple[App, Emulator], days: int, level: str) -> None:
    app, _ = alone
    app.add_tenant("1.00", "acme")
    expiry = f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d %H:%M:%S.%f}"
    with closing(sqlite3.connect(app.folder / "app.sqlite3")) as database, database:
        database.execute("UPDATE tenants SET cycles_key_expires_at = ?", [expiry])
    told = json.loads(app.cli("doctor", "--json").stdout)["checks"]
    assert (level, f"its Cycles key expires at {expiry[:16]} UTC", "tenants rotate acme") in [
        (check["level"], check["message"], check["remedy"]) for check in told
    ]
