"""Every refusal: its status, its code, its body, and that nothing is held or charged for it."""

import secrets
from typing import Any

import httpx
import pytest

from ..places import subject_of
from ..running import ACME, GLOBEX, HTTP, App, Emulator, scope_of

CHAT = "/api/chat"
HELLO = {"prompt": "Hello"}
PAID: list[tuple[str, dict[str, Any]]] = [
    (CHAT, HELLO),
    (CHAT, {**HELLO, "stream": True}),
    ("/api/summarize", {"text": "Hello"}),
]


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert {"type", "title", "detail", "request_id"} <= problem.keys()
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    if status in (429, 503):
        assert int(answer.headers["Retry-After"]) == problem["retry_after_seconds"] > 0
    return problem


@pytest.mark.parametrize("path", [CHAT, "/api/summarize", "/api/budget/me", f"/api/budget/{ACME}"])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"Authorization": "Bearer nonsense"}, id="unknown"),
        pytest.param({"Authorization": "Basic YTpi"}, id="another scheme"),
        pytest.param({"X-Tenant-ID": ACME}, id="only a header that anybody can write"),
    ],
)
def test_without_an_identity_it_is_401(api: httpx.Client, path: str, headers: dict[str, str]) -> None:
    method = "GET" if "budget" in path else "POST"
    answer = api.request(method, path, headers=headers, json=HELLO if method == "POST" else None)
    assert_problem(answer, 401, "unauthenticated")


def test_a_spent_budget_is_402_before_the_model_is_called(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("0.00000010")
    before = emulator.ledger(tenant["id"])
    for path, body in PAID:
        problem = assert_problem(api.post(path, json=body, headers=tenant["headers"]), 402, "budget_exceeded")
        assert problem["tenant"] == tenant["id"]
    assert emulator.ledger(tenant["id"]) == before


def test_a_small_budget_is_spent_and_then_402_names_the_scope(app: App, api: httpx.Client) -> None:
    tenant = app.add_tenant("0.0030")  # one call at least, whatever the model
    answers = [api.post(CHAT, json={**HELLO, "max_tokens": 100}, headers=tenant["headers"]) for _ in range(30)]
    assert answers[0].status_code == 200
    problem = assert_problem(answers[-1], 402, "budget_exceeded")
    assert problem["scope"] == scope_of(tenant["id"])
    assert problem["unit"] == "USD_MICROCENTS"
    assert problem["remaining"] == int(answers[-1].json()["remaining"]) < 200_000


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        pytest.param({"is_over_limit": True}, 402, "overdraft_limit_exceeded", id="over its limit"),
        pytest.param({"status": "FROZEN"}, 403, "budget_frozen", id="frozen"),
        pytest.param({"status": "CLOSED"}, 403, "budget_closed", id="closed"),
    ],
)
def test_a_ledger_that_takes_no_hold_says_why(
    app: App, api: httpx.Client, emulator: Emulator, change: dict[str, Any], status: int, code: str
) -> None:
    tenant = app.add_tenant("1.00")
    emulator.control("ledger", {"scope": scope_of(tenant["id"]), **change})
    for path, body in PAID:
        assert_problem(api.post(path, json=body, headers=tenant["headers"]), status, code)
    emulator.control("ledger", {"scope": scope_of(tenant["id"])})
    assert emulator.ledger(tenant["id"])["spent"] == 0


def test_debt_that_no_overdraft_covers_is_402(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00", "", "--overdraft", "1.00")["id"]
    scope = {"scope": scope_of(tenant), "unit": "USD_MICROCENTS"}
    spend_elsewhere(app, emulator, tenant, 150_000_000)
    none = {"overdraft_limit": {"unit": "USD_MICROCENTS", "amount": 0}}
    admin(app, "PATCH", f"/v1/admin/budgets?{httpx.QueryParams(scope)}", none)
    emulator.control("ledger", {**scope, "is_over_limit": False})
    for path, body in PAID:
        answer = api.post(path, json=body, headers=app.tenants[tenant]["headers"])
        assert_problem(answer, 402, "debt_outstanding")


def test_an_engine_that_asks_for_patience_is_429_with_its_own_time(
    app: App, api: httpx.Client, emulator: Emulator
) -> None:
    tenant = app.add_tenant("1.00")
    api.post(CHAT, json=HELLO, headers=tenant["headers"])
    before = emulator.ledger(tenant["id"])
    for path, body in PAID:
        emulator.fault("limited", "reserve")
        answer = api.post(path, json=body, headers=tenant["headers"])
        assert_problem(answer, 429, "limit_exceeded")
        assert answer.headers["Retry-After"] == "7"
    assert emulator.ledger(tenant["id"]) == before


def test_another_tenants_budget_looks_as_if_it_did_not_exist(api: httpx.Client, acme: dict[str, str]) -> None:
    others = assert_problem(api.get(f"/api/budget/{GLOBEX}", headers=acme), 404, "not_found")
    nobodys = assert_problem(api.get("/api/budget/nobody", headers=acme), 404, "not_found")
    assert {**others, "request_id": ""} == {**nobodys, "request_id": ""}


def spend_elsewhere(app: App, emulator: Emulator, tenant: str, microcents: int) -> None:
    """What somebody else than the app books on the tenant's ledger, with an overdraft if need be."""
    asked = {"tenant_id": subject_of(tenant)["tenant"], "name": f"for {secrets.token_hex(4)}"}
    key = admin(app, "POST", "/v1/admin/api-keys", asked)["key_secret"]
    event = {
        "idempotency_key": asked["name"],
        "subject": subject_of(tenant),
        "action": {"kind": "llm.completion", "name": "elsewhere"},
        "actual": {"unit": "USD_MICROCENTS", "amount": microcents},
        "overage_policy": "ALLOW_WITH_OVERDRAFT",
    }
    HTTP.post(f"{emulator.url}/v1/events", json=event, headers={"X-Cycles-API-Key": key}).raise_for_status()


def admin(app: App, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """What the engine's Admin API answers."""
    headers = {"X-Admin-API-Key": app.environment["CYCLES_ADMIN_API_KEY"]}
    answer = HTTP.request(method, app.environment["CYCLES_ADMIN_URL"] + path, json=body, headers=headers)
    return answer.raise_for_status().json()
