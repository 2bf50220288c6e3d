"""Observed tenants: served beyond the budget, booked, counted; suspended and frozen ones stay refused."""

from typing import Any

import httpx
import pytest

from ..running import App, Emulator, scope_of, unsettled, wait_until
from .test_chat import server_sent
from .test_refusals import assert_problem

HELLO = {"prompt": "Hello"}
CALLS: list[tuple[str, dict[str, Any]]] = [("/api/chat", HELLO), ("/api/summarize", {"text": "Hello"})]


def post(api: httpx.Client, tenant: dict[str, Any], path: str = "/api/chat", body: dict[str, Any] = HELLO) -> Any:
    return api.post(path, json=body, headers=tenant["headers"])


def observe(app: App, tenant: dict[str, Any], api: httpx.Client) -> None:
    app.done("tenants", "observe", tenant["id"])
    wait_until(lambda: post(api, tenant).status_code == 200, 5, "observed")


def report(app: App, tenant: dict[str, Any], calls: int) -> dict[str, Any]:
    def counted() -> Any:
        answer = app.done("tenants", "report", tenant["id"])
        return answer if answer["calls"] == calls else None

    answer: dict[str, Any] = wait_until(counted, 10, f"{calls} calls are recorded")
    return answer


def test_a_spent_budget_refuses_an_observed_tenant_nothing(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("0.00010000")
    assert_problem(post(api, tenant), 402, "budget_exceeded")
    uncharged = app.metric("budget_uncharged_microcents_total")
    observe(app, tenant, api)
    cost = 0
    for path, body in CALLS:
        answer = post(api, tenant, path, body)
        assert answer.status_code == 200, answer.text
        cost += answer.json()["cost"]["amount"]
    with api.stream("POST", "/api/chat", json={**HELLO, "stream": True}, headers=tenant["headers"]) as stream:
        *_, (name, end) = server_sent(stream)
    assert (name, end["cost"]["amount"] > 0) == ("done", True)
    told = report(app, tenant, 4)
    assert told["observed"] is True
    assert told["would_refuse"] == [{"scope": scope_of(tenant["id"]), "calls": 4}]
    assert float(told["estimate"]) > float(told["actual"]) > (cost + end["cost"]["amount"]) / 10**8
    assert app.metric("budget_uncharged_microcents_total") == uncharged
    wait_until(lambda: emulator.ledger(tenant["id"])["remaining"] == 0, 10, "what the ledger has is booked")
    assert (emulator.ledger(tenant["id"])["spent"], emulator.live_holds(tenant["id"])) == (10_000, 0)
    app.done("tenants", "enforce", tenant["id"])
    wait_until(lambda: post(api, tenant).status_code == 402, 5, "enforced")


def test_an_observed_tenant_with_a_budget_is_charged_as_usual(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    observe(app, tenant, api)
    cost = post(api, tenant).json()["cost"]["amount"]
    assert emulator.ledger(tenant["id"])["spent"] == 2 * cost
    assert report(app, tenant, 2)["would_refuse"] == []


def test_a_budget_over_its_limit_is_served_and_booked(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    scope = scope_of(tenant["id"])
    emulator.control("ledger", {"scope": scope, "is_over_limit": True})
    assert_problem(post(api, tenant), 402, "overdraft_limit_exceeded")
    observe(app, tenant, api)
    cost = post(api, tenant).json()["cost"]["amount"]
    wait_until(lambda: emulator.ledger(tenant["id"])["spent"] == 2 * cost, 10, "booked")
    assert report(app, tenant, 2)["would_refuse"] == [{"scope": scope, "calls": 2}]


def test_suspended_and_frozen_stay_refused(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    observe(app, tenant, api)
    emulator.control("ledger", {"scope": scope_of(tenant["id"]), "status": "FROZEN"})
    assert_problem(post(api, tenant), 403, "budget_frozen")
    app.done("tenants", "suspend", tenant["id"])
    wait_until(lambda: post(api, tenant).status_code == 403, 5, "suspended")


@pytest.mark.parametrize("verb", ["observe", "enforce", "report"])
def test_an_unknown_tenant_is_refused(app: App, verb: str) -> None:
    assert app.cli("tenants", verb, "nobody").returncode == 1


def test_an_outage_is_as_in_the_settings(alone: tuple[App, Emulator]) -> None:
    app, emulator = alone
    tenant = app.add_tenant("0.00010000")
    with app.serving() as serving, httpx.Client(base_url=serving.url, timeout=30) as api:
        observe(app, tenant, api)
        wait_until(lambda: unsettled(app.folder / "journal") == 0, 10, "booked")
        emulator.fault("error", "reserve", times=2)
        assert_problem(post(api, tenant), 503, "budget_unavailable")
