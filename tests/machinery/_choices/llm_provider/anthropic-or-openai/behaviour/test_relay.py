"""The provider's API against a stand-in: what goes to the vendor, and what comes back."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from ..running import HTTP, App, Emulator, wait_until
from ..vendor import Vendor, framed
from ..wire import API, END, INPUT, KEY, LIMIT, MODEL, OUTPUT, START, finish, settings, text, usage, whole
from .test_refusals import assert_problem

BODY: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], LIMIT: 50}

STREAMS: list[tuple[str, dict[str, Any], tuple[Any, ...]]] = [(API, BODY, (*START, text("Hi"), finish("stop"), END))]
if API != "/messages":
    completed = {"type": "response.completed", "response": {"model": MODEL, "status": "completed"}}
    STREAMS.append(("/responses", {"model": MODEL, "input": "Hello"}, (completed,)))


@pytest.fixture(scope="module")
def serving(installed: App, vendor: Vendor) -> Iterator[App]:
    with replace(installed).serving(**settings(vendor.url), LLM_READ_TIMEOUT="1", LLM_MAX_TOKENS="100") as app:
        yield app


@pytest.fixture(scope="module")
def payer(serving: App) -> dict[str, Any]:
    return serving.add_tenant("5.00")


def call(app: App, payer: dict[str, Any], **change: Any) -> httpx.Response:
    return HTTP.post(f"{app.url}/v1{API}", json={**BODY, **change}, headers=payer["headers"])


def test_the_body_goes_to_the_vendor_as_sent_with_the_limit_lowered(
    serving: App, payer: dict[str, Any], vendor: Vendor
) -> None:
    vendor.plays(body=whole("Hi", (20, 8)))
    answer = call(serving, payer, temperature=0.5, **{LIMIT: 500})
    assert answer.status_code == 200, answer.text
    assert vendor.asked[-1] == {**BODY, "temperature": 0.5, LIMIT: 100}
    told = answer.json()
    cost = 20 * INPUT + 8 * OUTPUT
    assert told["usage"].pop("cost") == cost / 10**8
    assert told == vendor.scene.body
    assert (answer.headers["X-Budget-Cost"], answer.headers["X-Budget-Max-Tokens"]) == (str(cost), "100")


def test_a_stream_comes_back_byte_by_byte(
    serving: App, payer: dict[str, Any], vendor: Vendor, emulator: Emulator
) -> None:
    before = emulator.ledger(payer["id"])["spent"]
    vendor.plays(*START, text("Hi"), text(" there"), finish("stop"), usage(20, 8))
    answer = call(serving, payer, stream=True)
    sent = b"".join(map(framed, vendor.scene.events))
    assert answer.content[:100] == sent[:100]
    wait_until(lambda: emulator.live_holds(payer["id"]) == 0, 2, "the hold is settled")
    assert emulator.ledger(payer["id"])["spent"] - before == 20 * INPUT + 8 * OUTPUT


@pytest.mark.parametrize("status", [400, 404, 413, 422])
@pytest.mark.parametrize("stream", [False, True])
def test_the_callers_own_fault_keeps_the_vendors_status_and_message(
    serving: App, payer: dict[str, Any], vendor: Vendor, emulator: Emulator, status: int, stream: bool
) -> None:
    before = emulator.ledger(payer["id"])["spent"]
    vendor.plays(body={"error": {"message": f"At most 9 tokens. {KEY}"}}, status=status)
    error = assert_problem(call(serving, payer, stream=stream), status, "provider_refused")
    assert error["detail"] == "At most 9 tokens. ***"
    assert emulator.ledger(payer["id"])["spent"] == before


@pytest.mark.parametrize(
    ("status", "ours", "code"),
    [(401, 502, "provider_error"), (429, 429, "limit_exceeded"), (500, 502, "provider_error")],
)
def test_the_vendors_other_failures_have_our_status(
    serving: App, payer: dict[str, Any], vendor: Vendor, status: int, ours: int, code: str
) -> None:
    vendor.plays(body={"error": {"message": KEY}}, status=status, headers={"Retry-After": "7"})
    for stream in (False, True):
        answer = call(serving, payer, stream=stream)
        assert_problem(answer, ours, code)
        assert KEY not in answer.text
    assert (answer.headers.get("Retry-After") == "7") == (status == 429)


@pytest.mark.parametrize("then", ["ends", "breaks off", "hangs"])
def test_a_stream_that_fails_ends_with_an_error_and_what_came_is_charged(
    serving: App, payer: dict[str, Any], vendor: Vendor, emulator: Emulator, then: Any
) -> None:
    before = emulator.ledger(payer["id"])["spent"]
    vendor.plays(*START, text("x" * 36), *([b"{"] if then == "ends" else []), then=then)
    answer = call(serving, payer, stream=True)
    assert '"code": "provider_error"' in answer.text.splitlines()[-2]
    wait_until(lambda: emulator.live_holds(payer["id"]) == 0, 2, "the hold is settled")
    assert emulator.ledger(payer["id"])["spent"] - before >= 9 * OUTPUT


@pytest.mark.parametrize("then", ["breaks off", "hangs"])
@pytest.mark.parametrize(("path", "body", "events"), STREAMS)
def test_what_a_vendor_does_after_the_end_of_a_stream_is_no_failure(
    serving: App, payer: dict[str, Any], vendor: Vendor, path: str, body: dict[str, Any], events: Any, then: Any
) -> None:
    vendor.plays(*events, then=then)
    url = f"{serving.url}/v1{path}"
    answer = HTTP.post(url, json={**body, "stream": True}, headers=payer["headers"])
    assert framed(events[-1]) in answer.content
    assert "provider_error" not in answer.text
    assert answer.elapsed.total_seconds() < 0.9, "the read timeout is 1 s"


def test_a_client_that_leaves_hangs_up_on_the_vendor_and_pays_what_came(
    serving: App, payer: dict[str, Any], vendor: Vendor, emulator: Emulator
) -> None:
    before = emulator.ledger(payer["id"])["spent"]
    vendor.plays(*START, text("x" * 36), then="hangs")
    url, body = f"{serving.url}/v1{API}", {**BODY, "stream": True}
    with httpx.Client() as leaving, leaving.stream("POST", url, json=body, headers=payer["headers"]) as answer:
        next(answer.iter_bytes())
    assert vendor.left.wait(1), "the vendor is told within a second"
    wait_until(lambda: emulator.live_holds(payer["id"]) == 0, 2, "the hold is settled")
    assert 9 * OUTPUT <= emulator.ledger(payer["id"])["spent"] - before < 50 * OUTPUT


def test_options_of_a_stream_of_another_type_are_no_fault_of_ours(
    serving: App, payer: dict[str, Any], vendor: Vendor
) -> None:
    vendor.plays(*START, text("Hi"), finish("stop"), usage(20, 8), END)
    for options in ("all", 1, [{"include_usage": True}]):
        answer = call(serving, payer, stream=True, stream_options=options)
        assert answer.status_code == (422 if API == "/messages" else 200), answer.text


def test_half_an_emoji_in_a_name_or_an_error_fails_no_call(
    serving: App, payer: dict[str, Any], vendor: Vendor, emulator: Emulator
) -> None:
    before = emulator.ledger(payer["id"])["spent"]
    vendor.plays(body={**whole("Hi", (20, 8)), "model": f"{MODEL}-\ud83d"})
    answer = call(serving, payer)
    assert answer.status_code == 200, answer.text
    assert emulator.live_holds(payer["id"]) == 0
    assert emulator.ledger(payer["id"])["spent"] - before == int(answer.headers["X-Budget-Cost"]) > 0
    vendor.plays(body={"error": {"message": "Too long: Hi \ud83d"}}, status=400)
    assert assert_problem(call(serving, payer), 400, "provider_refused")["detail"] == "Too long: Hi ?"


def test_an_answer_that_would_fill_the_memory_is_502_and_its_input_is_charged(
    serving: App, payer: dict[str, Any], vendor: Vendor, emulator: Emulator
) -> None:
    before = emulator.ledger(payer["id"])["spent"]
    vendor.plays(body=whole("x" * 70 * 2**20))
    assert_problem(call(serving, payer), 502, "provider_error")
    assert INPUT <= emulator.ledger(payer["id"])["spent"] - before < 50 * OUTPUT


def test_x_api_key_is_a_key_on_anthropics_routes_only(serving: App, payer: dict[str, Any]) -> None:
    _, _, key = payer["headers"].get("Authorization", "").partition(" ")
    for url in ("/v1/models", "/api/budget/me"):
        answer = HTTP.get(f"{serving.url}{url}", headers={"x-api-key": key})
        is_served = key and API == "/messages" and url.startswith("/v1/")
        assert answer.status_code == (200 if is_served else 401), answer.text


def test_the_vendors_headers_about_our_organisation_stay_here(
    serving: App, payer: dict[str, Any], vendor: Vendor
) -> None:
    vendor.plays(body=whole("Hi", (20, 8)), headers={"openai-organization": "us", "x-ratelimit-limit-tokens": "9"})
    answer = call(serving, payer)
    assert not {"openai-organization", "x-ratelimit-limit-tokens"} & answer.headers.keys()


def test_images_are_held_by_the_bound_of_the_price_list(serving: App, payer: dict[str, Any], vendor: Vendor) -> None:
    vendor.plays(body=whole("Hi", (20, 8)))
    content = [image(b"x" * 1_000_000)]
    answer = call(serving, payer, messages=[{"role": "user", "content": content}])
    assert answer.status_code == 200, answer.text


def image(data: bytes) -> dict[str, Any]:
    coded = data.decode()
    if API == "/messages":
        return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": coded}}
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{coded}"}}
