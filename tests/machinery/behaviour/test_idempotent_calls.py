"""Idempotency-Key: a repeated request gets the same answer and is charged once."""

from typing import Any

import httpx
import pytest

from ..running import App, Emulator
from .test_refusals import assert_problem

HELLO = {"prompt": "Hello"}
PAID: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("/api/chat", HELLO),
    "streamed": ("/api/chat", {**HELLO, "stream": True}),
    "a summary": ("/api/summarize", {"text": "Hello"}),
}
SENT = ("X-Budget-Cost", "X-Budget-Remaining", "Content-Type")


def ask(api: httpx.Client, tenant: dict[str, Any], key: str, path: str, body: dict[str, Any]) -> httpx.Response:
    return api.post(path, json=body, headers={**tenant["headers"], "Idempotency-Key": key})


@pytest.mark.parametrize(("path", "body"), PAID.values(), ids=PAID.keys())
def test_repeated_request_gets_the_same_answer_and_is_charged_once(
    app: App, api: httpx.Client, emulator: Emulator, path: str, body: dict[str, Any]
) -> None:
    tenant = app.add_tenant("1.00")
    first = ask(api, tenant, "k", path, body)
    assert first.status_code == 200
    ledger = emulator.ledger(tenant["id"])
    assert (ledger["spent"] > 0, ledger["reserved"]) == (True, 0)
    if "X-Budget-Cost" in first.headers:
        told = [int(first.headers[name]) for name in ("X-Budget-Cost", "X-Budget-Remaining")]
        assert told == [ledger["spent"], ledger["remaining"]]
    for _ in range(2):
        again = ask(api, tenant, "k", path, body)
        assert (again.status_code, again.content) == (200, first.content)
        assert [again.headers.get(name) for name in SENT] == [first.headers.get(name) for name in SENT]
        assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert emulator.ledger(tenant["id"])["spent"] == ledger["spent"]


def test_a_key_is_its_tenants_own_and_for_one_request(app: App, api: httpx.Client) -> None:
    one, other = app.add_tenant("1.00"), app.add_tenant("1.00")
    assert ask(api, one, "k", "/api/chat", HELLO).status_code == 200
    for path, body in (PAID["streamed"], PAID["a summary"], ("/api/chat?x", HELLO)):
        assert_problem(ask(api, one, "k", path, body), 422, "idempotency_mismatch")
    assert ask(api, other, "k", *PAID["a summary"]).status_code == 200
    assert_problem(ask(api, {"headers": {}}, "k", "/api/chat", HELLO), 401, "unauthenticated")


def test_keys_are_1_to_255_printable_ascii_characters(app: App, api: httpx.Client) -> None:
    tenant = app.add_tenant("1.00")
    for key in ("", "a" * 256, "a\tb"):
        assert_problem(ask(api, tenant, key, "/api/chat", HELLO), 422, "invalid_request")
    assert ask(api, tenant, "~ " * 127 + "!", "/api/chat", HELLO).status_code == 200
    twice = [*tenant["headers"].items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    assert_problem(api.post("/api/chat", json=HELLO, headers=twice), 422, "invalid_request")
