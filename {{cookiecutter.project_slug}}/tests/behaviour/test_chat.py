"""Paid calls: their answers, and that the charge is what the answer says."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ..running import HTTP, TLS, App, Emulator, scope_of, wait_until

USD = "USD_MICROCENTS"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/api/chat", {"prompt": "What is a budget?"}, id="prompt"),
        pytest.param("/api/chat", {"messages": [{"role": "user", "content": "Hello"}]}, id="messages"),
        pytest.param("/api/chat", {"messages": [{"role": "user", "content": at} for at in ("", "x")]}, id="one empty"),
        pytest.param("/api/summarize", {"text": "A long text about budgets."}, id="a summary"),
    ],
)
def test_a_paid_call_charges_its_own_tenant_what_it_reports(
    app: App, api: httpx.Client, emulator: Emulator, path: str, body: dict[str, Any]
) -> None:
    tenant = app.add_tenant("1.00")
    answer = api.post(path, json=body, headers=tenant["headers"])
    assert answer.status_code == 200, answer.text
    paid = answer.json()
    assert set(paid) == {"reply", "model", "finish_reason", "usage", "cost", "budget"}
    assert paid["reply"]
    assert paid["usage"]["output_tokens"] > 0
    assert paid["cost"]["unit"] == USD
    assert paid["cost"]["amount"] > 0
    ledger = emulator.ledger(tenant["id"])
    assert ledger["spent"] == paid["cost"]["amount"]
    assert ledger["reserved"] == 0
    assert paid["budget"]["remaining"] == {"unit": USD, "amount": ledger["remaining"]}
    assert answer.headers["X-Budget-Remaining"] == str(ledger["remaining"])
    assert answer.headers["X-Budget-Cost"] == str(answer.json()["cost"]["amount"])
    assert answer.headers["X-Request-Id"]


def test_max_tokens_bounds_the_answer(api: httpx.Client, acme: dict[str, str]) -> None:
    answer = api.post("/api/chat", json={"prompt": "Hello", "max_tokens": 3}, headers=acme)
    assert answer.json()["usage"]["output_tokens"] <= 3


def test_a_named_end_user_is_booked_under_a_scope_of_its_own(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    for end_user in ("Ada", "ada", "\u00e4da/..", "x" * 256):
        answer = api.post("/api/chat", json={"prompt": "Hello", "end_user": end_user}, headers=tenant["headers"])
        assert answer.status_code == 200, answer.text
    assert emulator.ledger(tenant["id"])["spent"] > 0


def test_a_stream_gives_deltas_and_ends_with_its_cost(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    with api.stream("POST", "/api/chat", json={"prompt": "Hello", "stream": True}, headers=tenant["headers"]) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert int(answer.headers["X-Budget-Remaining"]) >= 0
        events = list(server_sent(answer))
    assert [name for name, _ in events[:-1]] == ["delta"] * (len(events) - 1)
    name, end = events[-1]
    assert name == "done"
    assert set(end) == {"model", "finish_reason", "usage", "cost", "budget"}
    assert emulator.ledger(tenant["id"])["spent"] == end["cost"]["amount"] > 0
    plain = api.post("/api/chat", json={"prompt": "Hello"}, headers=tenant["headers"]).json()
    assert "".join(delta["text"] for _, delta in events[:-1]) == plain["reply"]
    assert end["cost"] == plain["cost"]


def test_a_client_that_leaves_a_stream_pays_for_what_was_delivered(app: App, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    body = {"prompt": "Hello", "stream": True}
    with (
        httpx.Client(base_url=app.url, verify=TLS) as leaving,
        leaving.stream("POST", "/api/chat", json=body, headers=tenant["headers"]) as answer,
    ):
        events = server_sent(answer)
        for _ in range(3):
            next(events)
    wait_until(lambda: emulator.live_holds(tenant["id"]) == 0, 2, "the hold is settled")
    whole = HTTP.post(f"{app.url}/api/chat", json={"prompt": "Hello"}, headers=tenant["headers"]).json()
    spent = emulator.ledger(tenant["id"])["spent"] - whole["cost"]["amount"]
    assert 0 < spent < whole["cost"]["amount"]


def test_a_client_that_leaves_a_plain_call_pays_for_the_call(app: App, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    emulator.fault("delay", "commit", delay_ms=700)
    with pytest.raises(httpx.ReadTimeout):
        HTTP.post(f"{app.url}/api/chat", json={"prompt": "Hello"}, headers=tenant["headers"], timeout=0.4)
    wait_until(lambda: emulator.live_holds(tenant["id"]) == 0, 5, "the hold is settled")
    assert emulator.ledger(tenant["id"])["spent"] > 0


def test_caps_of_the_engine_lower_max_tokens(app: App, api: httpx.Client, emulator: Emulator) -> None:
    tenant = app.add_tenant("1.00")
    emulator.control("ledger", {"scope": scope_of(tenant["id"]), "caps": {"max_tokens": 2}})
    for path, body in (("/api/chat", {"prompt": "Hello"}), ("/api/summarize", {"text": "Hello"})):
        answer = api.post(path, json=body, headers=tenant["headers"])
        assert answer.json()["usage"]["output_tokens"] <= 2


def server_sent(answer: httpx.Response) -> Iterator[tuple[str, Any]]:
    """The events of a stream as (name, data)."""
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))
