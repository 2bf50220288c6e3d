"""Requests with a key are charged once, whatever is killed, locked or repeated in between."""

import json
import secrets
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..places import subject_of
from ..running import HTTP, App, Emulator, unsettled, wait_until
from .faults import Send, make_old, relayed
from .test_refusals import assert_problem

HELLO = {"prompt": "Hello"}
STREAM = {**HELLO, "stream": True}


def ask(app: App, tenant: dict[str, Any], key: str, body: dict[str, Any], path: str = "/api/chat") -> httpx.Response:
    headers = {**tenant["headers"], "Idempotency-Key": key}
    return HTTP.post(f"{app.url}{path}", json=body, headers=headers, timeout=60)


STATE = "CASE WHEN answer = '' THEN 'running' WHEN lease_until IS NULL THEN 'booked' ELSE 'answered' END"


def kept(app: App, column: str = STATE) -> list[str]:
    """Return a column of all kept answers."""
    with closing(sqlite3.connect(app.folder / "app.sqlite3", timeout=10)) as database:
        return [value for (value,) in database.execute(f"SELECT {column} FROM kept_answers")]  # noqa: S608


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Keep all others from writing to a database."""
    with closing(sqlite3.connect(file, timeout=10, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield
        database.execute("ROLLBACK")


def holds(emulator: Emulator, tenant: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all holds of a tenant, of any status: one for each call of the model."""
    return emulator.listed(f"{emulator.url}/v1/reservations", "reservations", **subject_of(tenant["id"]))


def expire(emulator: Emulator) -> None:
    emulator.control("clock", {"advance_ms": 120_000})


def cost_of(answer: httpx.Response) -> int:
    if answer.headers["Content-Type"] == "application/json":
        return int(answer.json()["cost"]["amount"])
    return int(answer.text.rpartition('"cost":')[2].partition('"amount":')[2].partition("}")[0])


@pytest.mark.parametrize("body", [HELLO, STREAM], ids=["plain", "streamed"])
def test_fifty_requests_at_once_with_one_key_are_one_call(
    installed: App, emulator: Emulator, body: dict[str, Any]
) -> None:
    tenant = installed.add_tenant("1.00")
    with installed.serving(DEMO_DELAY_MS="20") as app, ThreadPoolExecutor(50) as callers:
        answers = [*callers.map(lambda _: ask(app, tenant, "storm", body), range(50))]
        last = ask(app, tenant, "storm", body)
    served = [answer.content for answer in answers if answer.status_code == 200]
    assert set(served) == {last.content}
    refused = [answer for answer in answers if answer.status_code != 200]
    for answer in refused:
        assert_problem(answer, 409, "idempotency_in_progress")
        assert int(answer.headers["Retry-After"]) > 0
    assert len(holds(emulator, tenant)) == 1
    ledger = emulator.ledger(tenant["id"])
    assert (ledger["spent"], ledger["reserved"]) == (cost_of(last), 0)


def test_a_method_in_lower_case_is_no_way_around_a_key(app: App, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    headers = {**tenant["headers"], "Idempotency-Key": "lower", "Content-Type": "application/json"}
    for method in ("POST", "post", "Post"):  # httpx changes it to upper case
        connection = HTTPConnection(app.url.removeprefix("http://"))
        connection.request(method, "/api/chat", json.dumps(HELLO), headers)
        assert connection.getresponse().status == 200
        connection.close()
    assert len(holds(emulator, tenant)) == 1


def test_workers_of_different_processes_share_the_keys(installed: App, emulator: Emulator) -> None:
    tenant = installed.add_tenant("1.00")
    with (
        installed.serving(DEMO_DELAY_MS="20") as one,
        installed.serving(DEMO_DELAY_MS="20") as other,
        ThreadPoolExecutor(20) as callers,
    ):
        answers = [*callers.map(lambda each: ask([one, other][each % 2], tenant, "both", STREAM), range(20))]
        assert {ask(app, tenant, "both", STREAM).content for app in (one, other)} == {
            answer.content for answer in answers if answer.status_code == 200
        }
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len(holds(emulator, tenant)) == 1


@contextmanager
def killed_at(step: str, installed: App) -> Iterator[tuple[App, dict[str, Any]]]:
    """Kill a server at a step of a stream. Give the app, over the same way to Cycles, and the tenant."""
    tenant, reached, killed = installed.add_tenant("1.00"), threading.Event(), threading.Event()

    def meddle(request: str, send: Send) -> httpx.Response | None:
        if killed.is_set() or not request.endswith("/commit") or not step.startswith("commit"):
            return send()
        if step == "commit answered":
            send()
        reached.set()
        killed.wait(30)
        return None

    with relayed(installed, meddle, "CYCLES_BASE_URL") as app:
        headers = {**tenant["headers"], "Idempotency-Key": "key"}
        with (
            app.serving(DEMO_DELAY_MS="20") as serving,
            HTTP.stream("POST", f"{serving.url}/api/chat", json=STREAM, headers=headers, timeout=60) as answer,
        ):
            text = answer.iter_text()
            assert "This" in next(text)
            with locks(step, installed):
                if step == "answered":
                    assert any("change" in each for each in text)
                if step == "stored":
                    wait_until(lambda: kept(installed) == ["answered"], 20)
                if step.startswith("commit"):
                    assert reached.wait(30)
                assert serving.running is not None
                serving.running.kill()
                serving.running.wait()
            killed.set()
            with suppress(httpx.TransportError):
                assert "event: done" not in "".join(text)
        yield app, tenant


def locks(step: str, app: App) -> Any:
    files = {"answered": app.folder / "app.sqlite3", "stored": app.folder / "journal" / "outbox.sqlite3"}
    return locked(files[step]) if step in files else nullcontext()


@pytest.mark.parametrize("step", ["stored", "commit asked", "commit answered"])
def test_answer_that_was_stored_before_a_kill_is_replayed_and_charged_once(
    alone: tuple[App, Emulator], step: str
) -> None:
    installed, emulator = alone
    with killed_at(step, installed) as (app, tenant), app.serving() as serving:
        answers = [ask(serving, tenant, "key", STREAM) for _ in range(2)]
        assert {answer.status_code for answer in answers} == {200}
        assert answers[0].content == answers[1].content
        assert answers[0].text.count("event: done") == 1
        wait_until(lambda: kept(app) == ["booked"] and not unsettled(app.folder / "journal"), 15)
        assert ask(serving, tenant, "key", STREAM).content == answers[0].content
    assert len(holds(emulator, tenant)) == 1
    expire(emulator)
    ledger = emulator.ledger(tenant["id"])
    assert (ledger["spent"], ledger["reserved"]) == (cost_of(answers[0]), 0)


def test_stored_answer_is_charged_without_a_second_request(alone: tuple[App, Emulator]) -> None:
    installed, emulator = alone
    with killed_at("stored", installed) as (app, tenant):
        assert unsettled(app.folder / "journal") == 0
        with app.serving():
            wait_until(lambda: emulator.ledger(tenant["id"])["spent"] > 0, 12)
    assert kept(app) == ["booked"]
    assert emulator.ledger(tenant["id"])["reserved"] == 0


@pytest.mark.parametrize("step", ["answering", "answered"])
def test_call_that_was_not_stored_before_a_kill_runs_again_and_is_charged_once(
    alone: tuple[App, Emulator], step: str
) -> None:
    installed, emulator = alone
    with killed_at(step, installed) as (app, tenant), app.serving() as serving:
        assert kept(installed) == ["running"]
        problem = assert_problem(ask(serving, tenant, "key", STREAM), 409, "idempotency_in_progress")
        assert problem["retry_after_seconds"] > 0
        make_old(installed, "kept_answers", "lease_until")
        answers = [ask(serving, tenant, "key", STREAM) for _ in range(2)]
    assert answers[0].status_code == 200
    assert answers[0].content == answers[1].content
    assert len(holds(emulator, tenant)) == 2
    expire(emulator)
    ledger = emulator.ledger(tenant["id"])
    assert (ledger["spent"], ledger["reserved"]) == (cost_of(answers[0]), 0)


def test_request_that_runs_keeps_its_lease(installed: App) -> None:
    tenant = installed.add_tenant("1.00")
    with installed.serving(DEMO_DELAY_MS="150") as app, ThreadPoolExecutor() as callers:
        running = callers.submit(ask, app, tenant, "long", STREAM)
        wait_until(lambda: "running" in kept(installed))
        (first,) = leases = set(kept(installed, "max(lease_until)"))
        wait_until(lambda: set(kept(installed, "max(lease_until)")) != leases, 15)
        assert kept(installed, "max(lease_until)")[0] > first
        assert running.result().status_code == 200


def test_paused_process_that_was_taken_for_dead_neither_charges_nor_answers(
    alone: tuple[App, Emulator],
) -> None:
    installed, emulator = alone
    tenant = installed.add_tenant("1.00")
    with installed.serving(DEMO_DELAY_MS="20") as slow, installed.serving() as other, ThreadPoolExecutor() as callers:
        first = callers.submit(ask, slow, tenant, "key", STREAM)
        wait_until(lambda: kept(installed) == ["running"])
        make_old(installed, "kept_answers", "lease_until")
        second = ask(other, tenant, "key", STREAM)
        with pytest.raises(httpx.TransportError):
            first.result()
        assert ask(slow, tenant, "key", STREAM).content == second.content
    expire(emulator)
    ledger = emulator.ledger(tenant["id"])
    assert (ledger["spent"], ledger["reserved"]) == (cost_of(second), 0)


def test_client_that_leaves_gets_the_whole_answer_by_a_second_request(app: App, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    for body in (HELLO, STREAM):
        headers = {**tenant["headers"], "Idempotency-Key": str(body)}
        with HTTP.stream("POST", f"{app.url}/api/chat", json=body, headers=headers) as answer:
            next(answer.iter_raw())
        wait_until(lambda body=body: ask(app, tenant, str(body), body).status_code == 200)
    assert ask(app, tenant, str(STREAM), STREAM).text.count("event: done") == 1
    assert len(holds(emulator, tenant)) == 2
    costs = [cost_of(ask(app, tenant, str(body), body)) for body in (HELLO, STREAM)]
    assert emulator.ledger(tenant["id"])["spent"] == sum(costs)


def test_without_the_database_a_request_with_a_key_is_refused_before_it_costs(alone: tuple[App, Emulator]) -> None:
    installed, emulator = alone
    tenant = installed.add_tenant("1.00")
    with installed.serving() as app:
        assert ask(app, tenant, "before", HELLO).status_code == 200
        with locked(installed.folder / "app.sqlite3"):
            problem = assert_problem(ask(app, tenant, "key", HELLO), 503, "budget_unavailable")
            assert problem["retry_after_seconds"] > 0
        assert len(holds(emulator, tenant)) == 1
        assert ask(app, tenant, "key", HELLO).status_code == 200


def test_answer_that_can_not_be_stored_is_neither_sent_nor_charged(alone: tuple[App, Emulator]) -> None:
    installed, emulator = alone
    tenant = installed.add_tenant("1.00")
    trigger = "CREATE TRIGGER broken BEFORE UPDATE OF answer ON kept_answers BEGIN SELECT RAISE(ABORT, 'broken'); END"
    database = installed.folder / "app.sqlite3"
    with installed.serving() as app:
        with closing(sqlite3.connect(database)) as harmed:
            harmed.execute(trigger)
        assert_problem(ask(app, tenant, "key", HELLO), 503, "budget_unavailable")
        with closing(sqlite3.connect(database)) as harmed:
            harmed.execute("DROP TRIGGER broken")
        make_old(installed, "kept_answers", "lease_until")
        answer = ask(app, tenant, "key", HELLO)
    expire(emulator)
    assert emulator.ledger(tenant["id"])["spent"] == cost_of(answer)


def test_answer_that_was_sent_is_no_failure_if_the_database_then_fails(
    alone: tuple[App, Emulator], tmp_path: Path
) -> None:
    installed, emulator = alone
    installed = replace(installed, log=tmp_path / "log")
    tenant = installed.add_tenant("1.00")
    trigger = (
        "CREATE TRIGGER broken BEFORE UPDATE OF lease_until ON kept_answers WHEN NEW.lease_until IS NULL "
        "BEGIN SELECT RAISE(ABORT, 'broken'); END"
    )
    database = installed.folder / "app.sqlite3"
    with installed.serving() as app:
        with closing(sqlite3.connect(database)) as harmed:
            harmed.execute(trigger)
        answer = ask(app, tenant, "key", HELLO)
        assert answer.status_code == 200
    assert "request failed" not in (tmp_path / "log").read_text()
    assert kept(installed) == ["answered"]
    with closing(sqlite3.connect(database)) as harmed:
        harmed.execute("DROP TRIGGER broken")
    with installed.serving():
        wait_until(lambda: kept(installed) == ["booked"], 20)
    assert emulator.ledger(tenant["id"])["spent"] == cost_of(answer)


def test_keys_expire_and_are_deleted(alone: tuple[App, Emulator]) -> None:
    installed, emulator = alone
    tenant = installed.add_tenant("1.00")
    with installed.serving() as app:
        assert ask(app, tenant, "key", HELLO).status_code == 200
        wait_until(lambda: kept(installed) == ["booked"])
        make_old(installed, "kept_answers", "expires_at")
        assert ask(app, tenant, "key", {"prompt": "Another"}).status_code == 200
        assert len(holds(emulator, tenant)) == 2
        wait_until(lambda: kept(installed) == ["booked"])
    make_old(installed, "kept_answers", "expires_at")
    with installed.serving():
        wait_until(lambda: not kept(installed))


def test_kept_answers_are_encrypted_and_open_with_older_secrets(alone: tuple[App, Emulator]) -> None:
    installed, _ = alone
    tenant = installed.add_tenant("1.00")
    with installed.serving() as app:
        answer = ask(app, tenant, "a key of the client", HELLO)
        wait_until(lambda: kept(installed) == ["booked"])
    files = b"".join(file.read_bytes() for file in installed.folder.glob("app.sqlite3*"))
    assert b"demo provider" in answer.content
    assert b"demo provider" not in files
    assert b"a key of the client" not in files
    old, new = installed.environment["SECRET_KEY"], secrets.token_urlsafe(32)
    with installed.serving(SECRET_KEY=f"{new},{old}") as app:
        assert ask(app, tenant, "a key of the client", HELLO).content == answer.content
    with installed.serving(SECRET_KEY=new) as app:
        assert_problem(ask(app, tenant, "a key of the client", HELLO), 409, "idempotency_not_kept")


def test_refusals_before_the_call_are_not_kept(app: App, emulator: Emulator) -> None:
    tenant = app.add_tenant("0.00001")
    assert_problem(ask(app, tenant, "poor", HELLO), 402, "budget_exceeded")
    app.done("tenants", "fund", tenant["id"], "--credit", "1.00")
    wait_until(lambda: ask(app, tenant, "poor", HELLO).status_code == 200)
    assert_problem(ask(app, tenant, "wrong", {"prompt": ""}), 422, "invalid_request")
    assert ask(app, tenant, "wrong", HELLO).status_code == 200
    assert Counter(hold["status"] for hold in holds(emulator, tenant)) == {"COMMITTED": 2}


def test_too_many_invalid_credentials_with_a_key_get_429(installed: App) -> None:
    headers = {"Authorization": "Bearer invalid", "X-Gateway-Secret": "invalid", "X-Tenant-ID": "acme"}
    with installed.serving() as app, httpx.Client(base_url=app.url) as client:
        statuses = [
            client.post("/api/chat", json=HELLO, headers={**headers, "Idempotency-Key": "key"}).status_code
            for _ in range(242)
        ]
    assert set(statuses[:240]) == {401}
    assert statuses[-1] == 429
