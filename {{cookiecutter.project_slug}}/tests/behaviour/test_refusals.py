"""Every refusal: its status, its code, its body, and that nothing is held or charged for it."""

from typing import Any

import httpx
import pytest

from ..running import App, Emulator, scope_of

CHAT = "/api/chat"
HELLO = {"prompt": "Hello"}


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


@pytest.mark.parametrize("path", [CHAT, "/api/summarize", "/api/budget/me", "/api/budget/acme"])
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="none"),
        pytest.param({"Authorization": "Bearer nonsense"}, id="unknown"),
        pytest.param({"Authorization": "Basic YTpi"}, id="another scheme"),
        pytest.param({"X-Tenant-ID": "acme"}, id="only a header that anybody can write"),
    ],
)
def test_without_an_identity_it_is_401(api: httpx.Client, path: str, headers: dict[str, str]) -> None:
    method = "GET" if "budget" in path else "POST"
    answer = api.request(method, path, headers=headers, json=HELLO if method == "POST" else None)
    assert_problem(answer, 401, "unauthenticated")


def test_two_tenant_headers_are_422(api: httpx.Client, acme: dict[str, str]) -> None:
    headers = [*acme.items(), ("X-Tenant-ID", "acme"), ("X-Tenant-ID", "acme")]
    assert_problem(api.post(CHAT, json=HELLO, headers=headers), 422, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="neither prompt nor messages"),
        pytest.param({"prompt": "a", "messages": [{"role": "user", "content": "b"}]}, id="both"),
        pytest.param({"prompt": ""}, id="empty prompt"),
        pytest.param({"prompt": "x" * 100_001}, id="too many characters"),
        pytest.param({"messages": [{"role": "user", "content": "x" * 60_000}] * 2}, id="too many together"),
        pytest.param({"messages": []}, id="no message"),
        pytest.param({"messages": [{"role": "root", "content": "b"}]}, id="unknown role"),
        pytest.param({"prompt": "a", "max_tokens": 0}, id="no token"),
        pytest.param({"prompt": "a", "max_tokens": 1_000_000}, id="more tokens than allowed"),
        pytest.param({"prompt": "a", "max_tokens": "5"}, id="a number as text"),
        pytest.param({"prompt": "a", "tenant": "globex"}, id="unknown member"),
        pytest.param({"prompt": 5}, id="wrong type"),
        pytest.param([HELLO], id="a list"),
    ],
)
def test_bad_input_is_422_and_nothing_is_held(api: httpx.Client, acme: dict[str, str], body: Any) -> None:
    before = api.get("/api/budget/me", headers=acme).json()["balances"]
    assert_problem(api.post(CHAT, json=body, headers=acme), 422, "invalid_request")
    assert api.get("/api/budget/me", headers=acme).json()["balances"] == before


@pytest.mark.parametrize(
    "content",
    [b"{", b"", b"\xff\xfe", b'{"prompt": "\\ud800"}'],
    ids=["broken", "empty", "no text", "surrogate"],
)
def test_broken_json_is_422(api: httpx.Client, acme: dict[str, str], content: bytes) -> None:
    headers = {**acme, "Content-Type": "application/json"}
    assert_problem(api.post(CHAT, content=content, headers=headers), 422, "invalid_request")


def test_a_model_that_is_not_offered_is_422(api: httpx.Client, acme: dict[str, str]) -> None:
    assert_problem(api.post(CHAT, json={**HELLO, "model": "gpt-0"}, headers=acme), 422, "unknown_model")


def test_a_body_that_is_not_json_is_415(api: httpx.Client, acme: dict[str, str]) -> None:
    answer = api.post(CHAT, content=b"prompt=Hello", headers={**acme, "Content-Type": "text/plain"})
    assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("chunked", [False, True], ids=["told", "chunked"])
def test_a_body_over_one_mebibyte_is_413(api: httpx.Client, acme: dict[str, str], *, chunked: bool) -> None:
    content = b'{"prompt": "' + b"x" * 1_100_000 + b'"}'
    headers = {**acme, "Content-Type": "application/json"}
    answer = api.post(CHAT, content=iter([content]) if chunked else content, headers=headers)
    assert_problem(answer, 413, "too_large")


def test_unknown_addresses_and_methods_are_problems_too(api: httpx.Client, acme: dict[str, str]) -> None:
    assert_problem(api.get("/api/nothing"), 404, "not_found")
    assert_problem(api.post(f"{CHAT}/", json=HELLO, headers=acme), 404, "not_found")
    answer = api.get(CHAT)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"


def test_a_host_that_is_not_served_is_refused(api: httpx.Client) -> None:
    assert_problem(api.get("/healthz", headers={"Host": "evil.example"}), 400, "invalid_host")


def test_a_spent_budget_is_402_before_the_model_is_called(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("0.00000010")
    before = emulator.ledger(tenant["id"])
    for path, body in (
        (CHAT, HELLO),
        (CHAT, {**HELLO, "stream": True}),
        ("/api/summarize", {"text": "Hello"}),
    ):
        problem = assert_problem(api.post(path, json=body, headers=tenant["headers"]), 402, "budget_exceeded")
        assert problem["tenant"] == tenant["id"]
    assert emulator.ledger(tenant["id"]) == before


def test_a_small_budget_is_spent_and_then_402_names_the_scope(app: App, api: httpx.Client) -> None:
    tenant = app.add_tenant("0.0025")
    answers = [api.post(CHAT, json={**HELLO, "max_tokens": 400}, headers=tenant["headers"]) for _ in range(30)]
    assert answers[0].status_code == 200
    problem = assert_problem(answers[-1], 402, "budget_exceeded")
    assert problem["scope"] == scope_of(tenant["id"])
    assert problem["unit"] == "USD_MICROCENTS"
    assert problem["remaining"] == int(answers[-1].json()["remaining"]) < 200_000


def test_a_ledger_over_its_limit_is_402(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    emulator.control("ledger", {"scope": scope_of(tenant["id"]), "is_over_limit": True})
    assert_problem(api.post(CHAT, json=HELLO, headers=tenant["headers"]), 402, "overdraft_limit_exceeded")


def test_a_frozen_ledger_is_403(app: App, api: httpx.Client) -> None:
    tenant = app.add_tenant("1.00")
    admin(app, "POST", f"/v1/admin/budgets/freeze?scope={scope_of(tenant['id'])}&unit=USD_MICROCENTS")
    assert_problem(api.post(CHAT, json=HELLO, headers=tenant["headers"]), 403, "budget_frozen")


def test_another_tenants_budget_looks_as_if_it_did_not_exist(api: httpx.Client, acme: dict[str, str]) -> None:
    others = assert_problem(api.get("/api/budget/globex", headers=acme), 404, "not_found")
    nobodys = assert_problem(api.get("/api/budget/nobody", headers=acme), 404, "not_found")
    assert {**others, "request_id": ""} == {**nobodys, "request_id": ""}


def admin(app: App, method: str, path: str, body: dict[str, str] | None = None) -> None:
    headers = {"X-Admin-API-Key": app.environment["CYCLES_ADMIN_API_KEY"]}
    httpx.request(method, app.environment["CYCLES_ADMIN_URL"] + path, json=body, headers=headers).raise_for_status()
