"""The synchronous world: views, commands, and task workers that are forked."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..commands import run_module
from ..running import HTTP, STARTED_WITH, App, Emulator, scope_of, wait_until

HELLO = {"text": "Hello"}


def outcome(app: App, what: str, argument: str) -> Any:
    """What a function of sync_world.py comes to, in a process of its own that has ended by then."""
    done = run_module("tests.unit.sync_world", [what, argument], app.folder, STARTED_WITH | app.environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def settled(emulator: Emulator, tenant: str) -> int:
    """What the tenant has spent, when no hold is left."""
    ledger = emulator.ledger(tenant)
    assert ledger["reserved"] == 0
    spent: int = ledger["spent"]
    return spent


@pytest.mark.parametrize("what", ["settles", "fails_midway"])
def test_what_was_used_is_charged_also_when_the_body_fails(installed: App, emulator: Emulator, what: str) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    assert outcome(installed, what, tenant) == settled(emulator, tenant) > 0


def test_a_hold_of_which_nothing_was_used_is_released(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    assert outcome(installed, "fails_at_once", tenant) == settled(emulator, tenant) == 0


def test_what_a_failing_provider_used_is_charged(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    assert outcome(installed, "provider_fails", tenant) == "provider_error"
    assert settled(emulator, tenant) > 0


def test_a_refused_hold_is_a_problem_and_the_body_does_not_run(installed: App) -> None:
    tenant = installed.add_tenant("0.0000001")["id"]
    problem = outcome(installed, "is_refused", tenant)
    assert (problem["status"], problem["code"], problem["tenant"]) == (402, "budget_exceeded", tenant)


def test_a_commit_that_failed_is_settled_before_the_process_ends(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    emulator.fault("drop_before", "commit")
    assert outcome(installed, "settles", tenant) == settled(emulator, tenant) > 0


def test_a_call_whose_hold_is_gone_is_charged_as_an_event(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    assert outcome(installed, "hold_is_taken_away", tenant) == settled(emulator, tenant) > 0


def test_what_a_later_try_of_the_commit_leaves_uncharged_is_told_by_the_record_of_the_call(
    installed: App, emulator: Emulator
) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    emulator.fault("drop_before", "commit")
    cost = outcome(installed, "overruns", tenant)
    charged = settled(emulator, tenant)
    with closing(sqlite3.connect(installed.folder / "app.sqlite3")) as database:
        noted = database.execute("SELECT cost, uncharged FROM calls WHERE tenant = ?", [tenant]).fetchall()
    assert noted == [(charged, cost - charged)]
    assert cost > charged == 100_000_000


def test_an_outage_is_told_as_one(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    emulator.fault("error", "reserve", times=2)
    assert outcome(installed, "is_refused", tenant)["code"] == "budget_unavailable"


def test_forked_workers_have_connections_of_their_own(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    costs = outcome(installed, "forks", tenant)
    assert len(costs) == 3
    assert sum(costs) == settled(emulator, tenant)


def test_the_synchronous_view_works_under_wsgi(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")
    assert outcome(installed, "under_wsgi", json.dumps(tenant["headers"])) == [200, 200, 500]
    assert settled(emulator, tenant["id"]) > 0


def test_the_synchronous_view_answers_as_the_asynchronous_one(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    answers = [
        api.post(path, json=HELLO, headers=tenant["headers"]).json()
        for path in ("/api/summarize", "/api/sync/summarize")
    ]
    assert answers[0]["cost"] == answers[1]["cost"]
    assert answers[1]["budget"]["remaining"]["amount"] == emulator.ledger(tenant["id"])["remaining"]
    assert settled(emulator, tenant["id"]) == 2 * answers[0]["cost"]["amount"]


def test_synchronous_calls_do_not_wait_for_each_other(app: App, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    emulator.fault("delay", "reserve", times=2, delay_ms=700)
    url, sent = f"{app.url}/api/sync/summarize", {"json": HELLO, "headers": tenant["headers"], "timeout": 30}
    with ThreadPoolExecutor() as callers:
        answers = [callers.submit(HTTP.post, url, **sent) for _ in range(2)]
        wait_until(lambda: emulator.live_holds(tenant["id"]) == 2, 10, "both are held")
    assert [answer.result().status_code for answer in answers] == [200, 200]
    assert settled(emulator, tenant["id"]) > 0


def test_caps_and_refusals_reach_the_synchronous_view(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    emulator.control("ledger", {"scope": scope_of(tenant["id"]), "caps": {"max_tokens": 2}})
    answer = api.post("/api/sync/summarize", json=HELLO, headers=tenant["headers"])
    assert answer.json()["usage"]["output_tokens"] <= 2
    assert api.post("/api/sync/summarize", json=HELLO).status_code == 401
    poor = app.add_tenant("0.0000001")["headers"]
    assert api.post("/api/sync/summarize", json=HELLO, headers=poor).status_code == 402
    assert api.post("/api/sync/summarize", json={"text": ""}, headers=tenant["headers"]).status_code == 422


def test_the_command_charges_the_tenant_that_is_named(installed: App, emulator: Emulator, tmp_path: Path) -> None:
    tenant = installed.add_tenant("1.00")["id"]
    file = tmp_path / "text.txt"
    file.write_text("A long text about budgets.")
    answer = installed.done("summarize", str(file), "--tenant", tenant)
    assert answer["reply"]
    assert answer["cost"]["amount"] == settled(emulator, tenant) > 0


@pytest.mark.parametrize(
    ("file", "tenant", "code"),
    [
        ("text.txt", "nobody", "unknown_tenant"),
        ("none.txt", "acme", "unreadable"),
        ("text.txt", "poor", "budget_exceeded"),
    ],
)
def test_the_command_says_why_it_does_not(installed: App, tmp_path: Path, file: str, tenant: str, code: str) -> None:
    (tmp_path / "text.txt").write_text("A long text about budgets.")
    if tenant == "poor":
        tenant = installed.add_tenant("0.0000001")["id"]
    refused = installed.cli("summarize", str(tmp_path / file), "--tenant", tenant, "--json")
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["error"]["code"] == code
