"""The guard for synchronous code: views, commands, and task workers, which are forked."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx
import pytest

from ..commands import run_module
from ..listening import Quiet, listening
from ..running import HTTP, STARTED_WITH, App, Emulator, scope_of, wait_until

HELLO = {"text": "Hello"}


def outcome(app: App, case: str, argument: str, **environment: str) -> Any:
    """Return the result of a case, run in a process of its own that has ended by then."""
    settings = STARTED_WITH | app.environment | environment
    done = run_module("tests.unit.sync_cases", [case, argument], app.folder, settings)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


def settled(emulator: Emulator, tenant: str) -> int:
    """Return what the tenant has spent. No hold is left."""
    ledger = emulator.ledger(tenant)
    assert ledger["reserved"] == 0
    spent: int = ledger["spent"]
    return spent


def recorded(app: App, tenant: str) -> int:
    """Return the cost of the tenant's calls."""
    with closing(sqlite3.connect(app.folder / "app.sqlite3")) as database:
        cost: int = database.execute("SELECT sum(cost) FROM calls WHERE tenant = ?", [tenant]).fetchone()[0]
        return cost


@pytest.mark.parametrize("case", ["settles", "summarizes", "fails_midway", "in_transaction", "in_another_event_loop"])
def test_call_is_charged_wherever_it_is_made_and_however_it_ends(installed: App, emulator: Emulator, case: str) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    assert outcome(installed, case, tenant) == settled(emulator, tenant) > 0
    assert recorded(installed, tenant) == settled(emulator, tenant)


def test_calls_from_several_threads_are_charged(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    assert outcome(installed, "in_threads", tenant) == settled(emulator, tenant) > 0


def test_call_from_the_event_loop_of_the_guard_is_refused(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    assert outcome(installed, "in_event_loop", tenant) == ["RuntimeError", "RuntimeError"]
    assert settled(emulator, tenant) == 0


def test_unused_hold_is_released(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    assert outcome(installed, "fails_at_once", tenant) == settled(emulator, tenant) == 0


def test_usage_of_a_failing_provider_is_charged(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    assert outcome(installed, "provider_fails", tenant) == "provider_error"
    assert settled(emulator, tenant) > 0


def test_refused_hold_is_a_problem_and_the_body_does_not_run(installed: App) -> None:
    tenant = installed.add_tenant("0.0000001")["id"]
    problem = outcome(installed, "is_refused", tenant)
    assert (problem["status"], problem["code"], problem["tenant"]) == (402, "budget_exceeded", tenant)
    assert (problem["required"] > 10, problem["remaining"]) == (True, 10)


def test_outage_is_a_problem(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    emulator.fault("error", "reserve", times=2)
    assert outcome(installed, "is_refused", tenant)["code"] == "budget_unavailable"


def test_failed_commit_is_sent_again_before_the_process_ends(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    emulator.fault("drop_before", "commit")
    assert outcome(installed, "settles", tenant) == settled(emulator, tenant) > 0


def test_call_whose_hold_is_gone_is_charged_as_an_event(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    assert outcome(installed, "hold_is_released_elsewhere", tenant) == settled(emulator, tenant) > 0


def test_forked_workers_use_an_event_loop_of_their_own(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    costs = outcome(installed, "forks", tenant)
    assert len(costs) == 3
    assert sum(costs) == settled(emulator, tenant)


def test_worker_that_was_forked_after_the_first_call_is_refused(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    cost, error = outcome(installed, "forks_late", tenant)
    assert cost == settled(emulator, tenant) > 0
    assert error == "RuntimeError"


def test_keys_never_go_to_a_proxy(installed: App, emulator: Emulator) -> None:
    tenant, seen = installed.add_tenant("1.00")["id"], list[str]()

    class Proxy(Quiet, BaseHTTPRequestHandler):
        def note(self) -> None:
            seen.append(self.requestline)
            self.send_error(502)

        do_GET = do_POST = do_CONNECT = note  # noqa: N815

    with listening(Proxy) as url:
        proxies = dict.fromkeys(["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"], url)
        assert outcome(installed, "settles", tenant, **proxies) == settled(emulator, tenant) > 0
    assert seen == []


def test_synchronous_view_answers_like_the_asynchronous_one(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    answers = [
        api.post(path, json=HELLO, headers=tenant["headers"]).json()
        for path in ("/api/summarize", "/api/sync/summarize")
    ]
    assert answers[0]["cost"] == answers[1]["cost"]
    assert answers[1]["budget"]["remaining"]["amount"] == emulator.ledger(tenant["id"])["remaining"]
    assert settled(emulator, tenant["id"]) == 2 * answers[0]["cost"]["amount"]


def test_synchronous_view_answers_a_repeated_key_once_charged(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    headers = {**tenant["headers"], "Idempotency-Key": "key"}
    first, again = (api.post("/api/sync/summarize", json=HELLO, headers=headers) for _ in range(2))
    assert (first.status_code, again.content) == (200, first.content)
    assert settled(emulator, tenant["id"]) == first.json()["cost"]["amount"]


def test_synchronous_calls_run_in_parallel(app: App, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    emulator.fault("delay", "reserve", times=2, delay_ms=700)
    url, sent = f"{app.url}/api/sync/summarize", {"json": HELLO, "headers": tenant["headers"], "timeout": 30}
    with ThreadPoolExecutor() as callers:
        answers = [callers.submit(HTTP.post, url, **sent) for _ in range(2)]
        wait_until(lambda: emulator.live_holds(tenant["id"]) == 2, 10, "both are held")
    assert [answer.result().status_code for answer in answers] == [200, 200]
    assert settled(emulator, tenant["id"]) > 0


def test_synchronous_view_applies_caps_and_refusals(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    emulator.control("ledger", {"scope": scope_of(tenant["id"]), "caps": {"max_tokens": 2}})
    answer = api.post("/api/sync/summarize", json=HELLO, headers=tenant["headers"])
    assert answer.json()["usage"]["output_tokens"] <= 2
    assert api.post("/api/sync/summarize", json=HELLO).status_code == 401
    poor = app.add_tenant("0.0000001")["headers"]
    assert api.post("/api/sync/summarize", json=HELLO, headers=poor).status_code == 402
    assert api.post("/api/sync/summarize", json={"text": ""}, headers=tenant["headers"]).status_code == 422
