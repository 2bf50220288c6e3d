"""Refusals: status, code and body of each. None holds or charges anything."""

import secrets
from decimal import Decimal
from typing import Any

import httpx
import pytest

from ..places import subject_of
from ..running import ACME, GLOBEX, HTTP, App, Emulator, scope_of

CHAT = "/api/chat"
HELLO = {"prompt": "Hello"}
USD: dict[str, Any] = {"unit": "USD_MICROCENTS"}
PAID: list[tuple[str, dict[str, Any]]] = [
    (CHAT, HELLO),
    (CHAT, {**HELLO, "stream": True}),
    ("/api/summarize", {"text": "Hello"}),
]


def assert_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    if answer.url.path.startswith("/v1/"):
        return assert_error(answer, code)
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert {"type", "title", "detail", "request_id"} <= problem.keys()
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    if status == 402:
        assert {"tenant", "unit", "required", "remaining"} <= problem.keys()
    if status in (429, 503):
        assert int(answer.headers["Retry-After"]) == problem["retry_after_seconds"] > 0
    return problem


def assert_error(answer: httpx.Response, code: str) -> dict[str, Any]:
    """Check an error in the shape of the provider's API, with our members. Return it."""
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == code
    assert {"message", "type"} <= error.keys()
    assert error["request_id"] == answer.headers["X-Request-Id"]
    if answer.status_code == 402:
        assert {"tenant", "unit", "required", "remaining"} <= error.keys()
    if answer.status_code in (429, 503):
        assert int(answer.headers["Retry-After"]) > 0
    return {"detail": error["message"], **error}


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
def test_request_without_a_valid_identity_is_401(api: httpx.Client, path: str, headers: dict[str, str]) -> None:
    method = "GET" if "budget" in path else "POST"
    answer = api.request(method, path, headers=headers, json=HELLO if method == "POST" else None)
    assert_problem(answer, 401, "unauthenticated")


@pytest.mark.parametrize(("path", "body"), PAID)
def test_first_call_of_a_spent_budget_says_what_it_needs_and_what_is_left(
    app: App, api: httpx.Client, emulator: Emulator, path: str, body: dict[str, Any]
) -> None:
    tenant = app.add_tenant("0.00000010")
    before = emulator.ledger(tenant["id"])
    for _ in range(2):
        answer = api.post(path, json=body, headers=tenant["headers"])
        problem = assert_problem(answer, 402, "budget_exceeded")
        assert (problem["tenant"], problem["scope"]) == (tenant["id"], scope_of(tenant["id"]))
        assert problem["remaining"] == 10 < problem["required"]
        needed = f"{Decimal(problem['required']) / 10**8:f}"
        assert problem["detail"] == f"This call needs up to ${needed}; $0.0000001 of the budget is left."
        assert "Retry-After" not in answer.headers, "it would not help"
    assert emulator.ledger(tenant["id"]) == before


def test_budget_is_spent_and_then_402_names_the_scope(app: App, api: httpx.Client) -> None:
    tenant = app.add_tenant("0.0030")  # one call at least, whatever the model
    answers = [api.post(CHAT, json={**HELLO, "max_tokens": 100}, headers=tenant["headers"]) for _ in range(30)]
    assert answers[0].status_code == 200
    problem = assert_problem(answers[-1], 402, "budget_exceeded")
    assert problem["scope"] == scope_of(tenant["id"])
    assert problem["unit"] == "USD_MICROCENTS"
    assert 0 <= problem["remaining"] < min(problem["required"], 200_000)
    assert f"; ${Decimal(problem['remaining']) / 10**8:f} of the budget is left." in problem["detail"]


@pytest.mark.parametrize(("path", "body"), PAID)
def test_budget_that_other_calls_hold_is_402_with_a_time_to_try_again(
    app: App, api: httpx.Client, emulator: Emulator, path: str, body: dict[str, Any]
) -> None:
    tenant = app.add_tenant("1.00")
    assert api.post(CHAT, json=HELLO, headers=tenant["headers"]).status_code == 200
    rest = emulator.ledger(tenant["id"])["remaining"] - 10
    hold = {**booking(), "estimate": USD | {"amount": rest}, "ttl_ms": 60_000}
    elsewhere(app, emulator, tenant["id"], "/v1/reservations", hold)
    for _ in range(2):
        answer = api.post(path, json=body, headers=tenant["headers"])
        problem = assert_problem(answer, 402, "budget_exceeded")
        assert (answer.headers["Retry-After"], problem["retry_after_seconds"]) == ("5", 5)
        assert problem["remaining"] == 10 < problem["required"]
        assert problem["detail"].endswith("is left. Other calls in progress hold the rest.")


@pytest.mark.parametrize(("path", "body"), PAID)
def test_remaining_is_null_while_balances_can_not_be_read(
    app: App, api: httpx.Client, emulator: Emulator, path: str, body: dict[str, Any]
) -> None:
    tenant = app.add_tenant("0.00000010")
    emulator.fault("error", "balances", times=100)
    try:
        problem = assert_problem(api.post(path, json=body, headers=tenant["headers"]), 402, "budget_exceeded")
    finally:
        emulator.clear_faults()
    assert (problem["required"] > 10, problem["remaining"]) == (True, None)


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        pytest.param({"is_over_limit": True}, 402, "overdraft_limit_exceeded", id="over its limit"),
        pytest.param({"status": "FROZEN"}, 403, "budget_frozen", id="frozen"),
        pytest.param({"status": "CLOSED"}, 403, "budget_closed", id="closed"),
    ],
)
def test_ledger_that_accepts_no_hold_says_why(
    app: App, api: httpx.Client, emulator: Emulator, change: dict[str, Any], status: int, code: str
) -> None:
    tenant = app.add_tenant("1.00")
    emulator.control("ledger", {"scope": scope_of(tenant["id"]), **change})
    for path, body in PAID:
        assert_problem(api.post(path, json=body, headers=tenant["headers"]), status, code)
    emulator.control("ledger", {"scope": scope_of(tenant["id"])})
    assert emulator.ledger(tenant["id"])["spent"] == 0


def test_debt_beyond_the_overdraft_limit_is_402(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00", "", "--overdraft", "1.00")["id"]
    scope = {"scope": scope_of(tenant), "unit": "USD_MICROCENTS"}
    spend_elsewhere(app, emulator, tenant, 150_000_000)
    none = {"overdraft_limit": {"unit": "USD_MICROCENTS", "amount": 0}}
    admin(app, "PATCH", f"/v1/admin/budgets?{httpx.QueryParams(scope)}", none)
    emulator.control("ledger", {**scope, "is_over_limit": False})
    for path, body in PAID:
        answer = api.post(path, json=body, headers=app.tenants[tenant]["headers"])
        assert_problem(answer, 402, "debt_outstanding")


def test_rate_limit_of_cycles_is_429_with_its_retry_after(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    api.post(CHAT, json=HELLO, headers=tenant["headers"])
    before = emulator.ledger(tenant["id"])
    for path, body in PAID:
        emulator.fault("limited", "reserve")
        answer = api.post(path, json=body, headers=tenant["headers"])
        assert_problem(answer, 429, "limit_exceeded")
        assert answer.headers["Retry-After"] == "7"
    assert emulator.ledger(tenant["id"]) == before


def test_budget_of_another_tenant_is_404(api: httpx.Client, acme: dict[str, str]) -> None:
    others = assert_problem(api.get(f"/api/budget/{GLOBEX}", headers=acme), 404, "not_found")
    nobodys = assert_problem(api.get("/api/budget/nobody", headers=acme), 404, "not_found")
    assert {**others, "request_id": ""} == {**nobodys, "request_id": ""}


def spend_elsewhere(app: App, emulator: Emulator, tenant: str, microcents: int) -> None:
    """Charge the tenant's ledger as another application would, with an overdraft if need be."""
    event = {**booking(), "actual": USD | {"amount": microcents}, "overage_policy": "ALLOW_WITH_OVERDRAFT"}
    elsewhere(app, emulator, tenant, "/v1/events", event)


def elsewhere(app: App, emulator: Emulator, tenant: str, path: str, body: dict[str, Any]) -> None:
    """Send a request to Cycles with a key of another application of the tenant."""
    named = {"tenant_id": subject_of(tenant)["tenant"], "name": f"for {secrets.token_hex(4)}"}
    key = admin(app, "POST", "/v1/admin/api-keys", named)["key_secret"]
    body = {"subject": subject_of(tenant), **body}
    HTTP.post(f"{emulator.url}{path}", json=body, headers={"X-Cycles-API-Key": key}).raise_for_status()


def booking() -> dict[str, Any]:
    return {"idempotency_key": secrets.token_hex(8), "action": {"kind": "llm.completion", "name": "elsewhere"}}


def admin(app: App, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Return the answer of Cycles' Admin API."""
    headers = {"X-Admin-API-Key": app.environment["CYCLES_ADMIN_API_KEY"]}
    answer = HTTP.request(method, app.environment["CYCLES_ADMIN_URL"] + path, json=body, headers=headers)
    return answer.raise_for_status().json()
