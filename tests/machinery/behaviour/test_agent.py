"""The agent over HTTP: charged exactly, whatever ends it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from ..running import HTTP, App, Emulator, scope_of, unsettled, wait_until
from .faults import Send, relayed
from .test_refusals import assert_problem

TASK = {"task": "What is a hold?"}
TOOL = 10_000
"""Microcents of the first tool that the demo provider calls."""


def test_an_agent_answers_within_its_limit_and_costs_what_it_says(
    app: App, api: httpx.Client, emulator: Emulator
) -> None:
    tenant = app.add_tenant("1.00")
    whole = api.post("/api/agent", json={**TASK, "limit": "0.05"}, headers=tenant["headers"])
    answer = whole.json()
    assert set(answer) == {"reply", "steps", "stopped", "cost", "limit"}
    assert (answer["steps"], answer["stopped"], answer["limit"]["amount"]) == (5, None, 5_000_000)
    spent = emulator.ledger(tenant["id"])["spent"]
    assert spent == answer["cost"]["amount"] == int(whole.headers["X-Budget-Cost"])
    assert int(whole.headers["X-Budget-Remaining"]) == emulator.ledger(tenant["id"])["remaining"]
    needed = assert_problem(
        api.post("/api/agent", json={**TASK, "limit": "0.00001"}, headers=tenant["headers"]), 402, "run_limit_exceeded"
    )["required"]
    limit = f"{(needed + 5_000) / 10**8:.8f}"  # for the first step, and not for the tool after it
    partial = api.post("/api/agent", json={**TASK, "limit": limit}, headers=tenant["headers"]).json()
    assert (partial["steps"], partial["stopped"]) == (2, "run_limit_exceeded")
    assert emulator.ledger(tenant["id"])["spent"] == spent + partial["cost"]["amount"]
    assert emulator.live_holds(tenant["id"]) == 0


def test_an_agent_stops_when_the_budget_ends(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    first = api.post("/api/agent", json={**TASK, "limit": "0"}, headers=tenant["headers"])
    needed = assert_problem(first, 402, "run_limit_exceeded")["required"]
    small = app.add_tenant(f"{needed / 10**8:.8f}")
    answer = api.post("/api/agent", json={**TASK, "limit": "1"}, headers=small["headers"]).json()
    assert answer["stopped"] == "budget_exceeded"
    assert 0 < answer["cost"]["amount"] == emulator.ledger(small["id"])["spent"]
    empty = app.add_tenant("0.00000100")
    refused = api.post("/api/agent", json={**TASK, "limit": "1"}, headers=empty["headers"])
    assert_problem(refused, 402, "budget_exceeded")


def test_an_agent_obeys_the_tool_lists_of_caps(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    emulator.control("ledger", {"scope": scope_of(tenant["id"]), "caps": {"tool_denylist": ["look_up", "calculate"]}})
    answer = api.post("/api/agent", json={**TASK, "limit": "1"}, headers=tenant["headers"]).json()
    assert (answer["steps"], answer["stopped"]) == (1, None)


@pytest.mark.parametrize("limit", ["-1", "", "1e3", "NaN", 1, None, "0.000000001", "9" * 40])
def test_a_limit_that_is_no_amount_is_refused(api: httpx.Client, acme: dict[str, str], limit: object) -> None:
    assert_problem(api.post("/api/agent", json={**TASK, "limit": limit}, headers=acme), 422, "invalid_request")


def test_an_agent_whose_client_leaves_begins_no_further_step(
    installed: App, emulator: Emulator, tmp_path: Path
) -> None:
    tenant, sent, left = installed.add_tenant("1.00"), threading.Event(), threading.Event()

    def meddle(request: str, send: Send) -> httpx.Response | None:
        if request.endswith("/commit"):
            sent.set()
            left.wait(10)
        return send()

    with relayed(installed, meddle, "CYCLES_BASE_URL") as app:
        app.environment["CYCLES_JOURNAL_DIR"] = str(tmp_path)
        with app.serving() as serving:
            body = {**TASK, "limit": "1"}
            with pytest.raises(httpx.ReadTimeout):
                HTTP.post(f"{serving.url}/api/agent", json=body, headers=tenant["headers"], timeout=2)
            assert sent.is_set()
            wait_until(lambda: emulator.live_holds(tenant["id"]) == 1, 5, "the first step is held")
            left.set()
            wait_until(lambda: emulator.live_holds(tenant["id"]) == 0, 5, "the first step is settled")
            one_step = emulator.ledger(tenant["id"])["spent"]
            answer = HTTP.post(f"{serving.url}/api/agent", json={**TASK, "limit": "1"}, headers=tenant["headers"])
            assert 0 < one_step < answer.json()["cost"]["amount"]
            assert emulator.ledger(tenant["id"])["spent"] == one_step + answer.json()["cost"]["amount"]


def test_an_agent_killed_in_a_step_is_charged_for_what_it_did(
    installed: App, emulator: Emulator, tmp_path: Path
) -> None:
    tenant, sent, killed = installed.add_tenant("1.00"), threading.Event(), threading.Event()
    spent: list[int] = []

    def meddle(request: str, send: Send) -> httpx.Response | None:
        if killed.is_set() or not request.endswith("/commit"):
            return send()
        spent.append(emulator.ledger(tenant["id"])["spent"])
        if len(spent) == 1:
            return send()
        sent.set()
        killed.wait(30)
        return None

    with relayed(installed, meddle, "CYCLES_BASE_URL") as app, ThreadPoolExecutor() as callers:
        app.environment["CYCLES_JOURNAL_DIR"] = str(tmp_path)
        with app.serving() as serving:
            url, body = f"{serving.url}/api/agent", {**TASK, "limit": "1"}
            call = callers.submit(HTTP.post, url, json=body, headers=tenant["headers"], timeout=30)
            try:
                assert sent.wait(30)
                assert serving.running is not None
                serving.running.kill()
                serving.running.wait(10)
            finally:
                killed.set()
            assert isinstance(call.exception(30), httpx.TransportError)
        with app.serving():
            wait_until(lambda: unsettled(tmp_path) == 0, 10, "settled after the restart")
            ledger = emulator.ledger(tenant["id"])
            assert (ledger["spent"], ledger["reserved"]) == (spent[1] + TOOL, 0)
