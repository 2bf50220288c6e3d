"""What comes between a call and its settlement, on the real Cycles too: every call is charged once."""

import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..places import subject_of
from ..running import ADMIN_KEY, HTTP, App, Emulator, unsettled, wait_until
from .faults import Send, relayed
from .test_chat import server_sent

HELLO = {"prompt": "Hello"}


def cost_of_call(app: App, tenant: dict[str, Any]) -> int:
    """Make a plain call and return what it cost."""
    answer = HTTP.post(f"{app.url}/api/chat", json=HELLO, headers=tenant["headers"], timeout=30)
    cost: int = answer.raise_for_status().json()["cost"]["amount"]
    return cost


def charged(emulator: Emulator, tenant: dict[str, Any]) -> tuple[int, int]:
    """Return what the tenant's ledger has spent and still holds."""
    ledger = emulator.ledger(tenant["id"])
    return ledger["spent"], ledger["reserved"]


@pytest.fixture(scope="module")
def slow(installed: App) -> Iterator[App]:
    """The app with a model that streams for three seconds."""
    with installed.serving(DEMO_DELAY_MS="50") as serving:
        yield serving


@pytest.mark.parametrize("meanwhile", ["suspended", "hold released"])
def test_stream_is_charged_whatever_happens_to_its_budget_meanwhile(
    slow: App, emulator: Emulator, meanwhile: str
) -> None:
    tenant = slow.add_tenant("1.00")
    body = {**HELLO, "stream": True}
    with HTTP.stream("POST", f"{slow.url}/api/chat", json=body, headers=tenant["headers"], timeout=30) as answer:
        events = server_sent(answer)
        next(events)
        reservations = f"{emulator.url}/v1/reservations"
        (hold,) = emulator.listed(reservations, "reservations", status="ACTIVE", **subject_of(tenant["id"]))
        if meanwhile == "suspended":
            slow.done("tenants", "suspend", tenant["id"])
        else:
            url, key = f"{reservations}/{hold['reservation_id']}/release", {"idempotency_key": secrets.token_hex(8)}
            HTTP.post(url, json=key, headers={"X-Admin-API-Key": ADMIN_KEY}).raise_for_status()
            assert charged(emulator, tenant) == (0, 0)
        *_, (name, end) = events
    assert (name, end["cost"]["amount"] > 0) == ("done", True)
    assert charged(emulator, tenant) == (end["cost"]["amount"], 0)


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_commit_in_flight_at_a_kill_is_charged_once_after_a_restart(
    installed: App, emulator: Emulator, tmp_path: Path, lost: str
) -> None:
    tenant, sent, killed = installed.add_tenant("1.00"), threading.Event(), threading.Event()

    def meddle(request: str, send: Send) -> httpx.Response | None:
        if killed.is_set() or not request.endswith("/commit"):
            return send()
        if lost == "answer":
            send()
        sent.set()
        killed.wait(30)
        return None

    with relayed(installed, meddle, "CYCLES_BASE_URL") as app, ThreadPoolExecutor() as callers:
        app.environment["CYCLES_JOURNAL_DIR"] = str(tmp_path)
        with app.serving() as serving:
            call = callers.submit(cost_of_call, serving, tenant)
            try:
                assert sent.wait(30)
                assert (charged(emulator, tenant)[0] > 0) == (lost == "answer")
                assert serving.running is not None
                serving.running.kill()
                serving.running.wait(10)
            finally:
                killed.set()
            assert isinstance(call.exception(30), httpx.TransportError)
        assert unsettled(tmp_path) == 1
        with app.serving() as serving:
            wait_until(lambda: unsettled(tmp_path) == 0, 10, "settled after the restart")
            once, held = charged(emulator, tenant)
            assert (once, held) == (cost_of_call(serving, tenant), 0)


def test_calls_served_without_a_hold_are_booked_once_cycles_answers_again(
    installed: App, emulator: Emulator, tmp_path: Path
) -> None:
    tenant, outage = installed.add_tenant("1.00"), threading.Event()
    settings = {"BUDGET_FAIL_OPEN": "true", "BUDGET_FAIL_OPEN_LIMIT": "0.01", "CYCLES_RETRY_MAX_DELAY": "0.2"}

    def meddle(_: str, send: Send) -> httpx.Response | None:
        return None if outage.is_set() else send()

    with relayed(installed, meddle, "CYCLES_BASE_URL") as app:
        app.environment["CYCLES_JOURNAL_DIR"] = str(tmp_path)
        with app.serving(**settings) as serving:
            guarded = cost_of_call(serving, tenant)
            outage.set()
            unguarded = [cost_of_call(serving, tenant) for _ in range(2)]
            assert charged(emulator, tenant) == (guarded, 0)
            outage.clear()
            wait_until(lambda: unsettled(tmp_path) == 0, 15, "booked")
            assert charged(emulator, tenant) == (guarded + sum(unguarded), 0)
            assert serving.metric("budget_unguarded_calls_total") == 2
