"""What users of other gateways have complained of, by name: none of it may happen here."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import pytest

from ..browsing import browser, sign_in
from ..running import HTTP, App, Emulator, wait_until
from .test_chat import server_sent
from .test_refusals import assert_problem

HELLO = {"prompt": "Hello"}
SHORT = {"max_tokens": 100}
AT_ONCE = 16


@pytest.fixture(scope="module")
def rich(app: App) -> dict[str, Any]:
    """A tenant that never runs short."""
    return app.add_tenant("1000.00")


def chat(app: App, tenant: dict[str, Any], **more: Any) -> httpx.Response:
    return HTTP.post(f"{app.url}/api/chat", json=HELLO | more, headers=tenant["headers"], timeout=60)


def at_once(app: App, tenant: dict[str, Any], times: int = AT_ONCE) -> list[int]:
    """The statuses of calls made side by side."""
    with ThreadPoolExecutor(times) as callers:
        return [answer.status_code for answer in callers.map(lambda _: chat(app, tenant, **SHORT), range(times))]


def spent(emulator: Emulator, tenant: dict[str, Any]) -> int:
    """What the tenant has spent, once no hold of it is left."""
    wait_until(lambda: emulator.live_holds(tenant["id"]) == 0, 10, "settled")
    amount: int = emulator.ledger(tenant["id"])["spent"]
    return amount


def test_overage_grows_with_concurrency(app: App, emulator: Emulator) -> None:
    tenant = app.add_tenant("0.001")
    statuses = at_once(app, tenant)
    assert set(statuses) == {200, 402}
    assert 0 < spent(emulator, tenant) <= emulator.ledger(tenant["id"])["allocated"]


def test_first_requests_of_an_unknown_customer_all_pass(app: App, emulator: Emulator) -> None:
    tenant = app.add_tenant("0.000001")
    assert set(at_once(app, tenant)) == {402}
    assert spent(emulator, tenant) == 0


def test_mid_stream_disconnect_pays_nothing(app: App, emulator: Emulator, rich: dict[str, Any]) -> None:
    before = spent(emulator, rich)
    asked = {"json": HELLO | {"stream": True}, "headers": rich["headers"]}
    with HTTP.stream("POST", f"{app.url}/api/chat", timeout=60, **asked) as answer:
        next(server_sent(answer))
    assert spent(emulator, rich) > before


def test_cancelled_calls_leak_holds(app: App, emulator: Emulator, rich: dict[str, Any]) -> None:
    for stream in (True, False) * 3:
        with suppress(httpx.ReadTimeout):
            asked = {"json": HELLO | {"stream": stream}, "headers": rich["headers"]}
            HTTP.post(f"{app.url}/api/chat", timeout=0.02, **asked)
    wait_until(lambda: emulator.ledger(rich["id"])["reserved"] == 0, what="that no hold is left")


def test_failed_hold_clean_up_double_counts(app: App, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    emulator.fault("drop_before", "commit", times=100)
    try:
        cost = chat(app, tenant).json()["cost"]["amount"]
        emulator.control("clock", {"advance_ms": 90_000})  # the hold expires, the commit is still on its way
        assert (emulator.ledger(tenant["id"])["reserved"], spent(emulator, tenant)) == (0, 0)
    finally:
        emulator.clear_faults()
    wait_until(lambda: emulator.ledger(tenant["id"])["spent"] == cost, 30, "booked as an event, once")
    assert emulator.ledger(tenant["id"])["remaining"] == 100_000_000 - cost


def test_unknown_price_records_nothing(installed: App) -> None:
    """Nothing is served without a price. What a vendor's other model costs: test_provider.py."""
    refused = App(installed.folder, {**installed.environment, "LLM_MODEL": "gpt-0"}).cli("serve")
    assert refused.returncode == 1
    assert "no price for gpt-0" in refused.stderr


def test_caller_sets_the_customer_header(app: App, emulator: Emulator, rich: dict[str, Any]) -> None:
    before = spent(emulator, rich)
    answer = HTTP.post(f"{app.url}/api/chat", json=HELLO, headers={"X-Tenant-ID": rich["id"]})
    assert_problem(answer, 401, "unauthenticated")
    assert spent(emulator, rich) == before


def test_a_reset_wipes_or_carries_spend(app: App, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    chat(app, tenant)
    app.done("tenants", "reset", tenant["id"], "--budget", "2.00")
    ledger = emulator.ledger(tenant["id"])
    assert (ledger["allocated"], ledger["spent"], ledger["reserved"]) == (200_000_000, 0, 0)
    cost = chat(app, tenant).json()["cost"]["amount"]
    assert spent(emulator, tenant) == cost


def test_two_retry_layers_multiply_requests(app: App, emulator: Emulator, rich: dict[str, Any]) -> None:
    chat(app, rich)
    before = app.metric("cycles_upstream_calls_total")
    emulator.fault("error", "reserve", times=100)
    try:
        assert_problem(chat(app, rich), 503, "budget_unavailable")
        assert app.metric("cycles_upstream_calls_total") <= before + 2
    finally:
        emulator.clear_faults()


def test_the_dashboards_polling_hammers_the_engine(app: App) -> None:
    with browser(app) as client:
        sign_in(client, **app.operator)
        client.get("/dashboard/")
        before = app.metric("cycles_upstream_calls_total")
        for _ in range(30):
            assert client.get("/dashboard/").status_code == 200
        # all of them are as fresh as the first was, but for what gets too old meanwhile
        assert app.metric("cycles_upstream_calls_total") - before <= len(app.tenants)
