"""Fallback models and the agent's tools, against the vendor's stand-in: the ledger is exact to the microcent."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..running import HTTP, App, Emulator, scope_of, unsettled, wait_until
from ..vendor import Scene, Vendor
from ..wire import (
    API,
    DEARER,
    END,
    ERROR,
    INPUT,
    LIMIT,
    MODEL,
    OUTPUT,
    finish,
    settings,
    start,
    text,
    tool_call,
    usage,
    whole,
)
from .faults import Send, relayed
from .test_chat import server_sent
from .test_refusals import assert_problem

HELLO = {"prompt": "Hello, vendor", "model": DEARER}
SERVED = Scene((start(), text("Good day"), finish("stop"), usage(10, 3), END))
COST = 10 * INPUT + 3 * OUTPUT
HELD = 37 * INPUT + 100 * OUTPUT
DOWN = {429: "limit_exceeded", 500: "provider_error", 503: "provider_error"}


def chained(url: str) -> dict[str, str]:
    models = {"LLM_ALLOWED_MODELS": DEARER, "LLM_FALLBACKS": f"{DEARER} > {MODEL}"}
    return settings(url) | models | {"LLM_MAX_TOKENS": "100", "LLM_READ_TIMEOUT": "1"}


@pytest.fixture(scope="module")
def serving(installed: App, vendor: Vendor) -> Iterator[App]:
    with installed.serving(**chained(vendor.url)) as app:
        yield app


def post(app: App, tenant: dict[str, Any], **more: Any) -> httpx.Response:
    return HTTP.post(f"{app.url}/api/chat", json=HELLO | more, headers=tenant["headers"], timeout=30)


def streamed(app: App, tenant: dict[str, Any]) -> tuple[httpx.Headers, dict[str, Any]]:
    body = {**HELLO, "stream": True}
    with HTTP.stream("POST", f"{app.url}/api/chat", json=body, headers=tenant["headers"], timeout=30) as answer:
        *_, (name, end) = server_sent(answer)
    assert name == "done"
    return answer.headers, end


@pytest.mark.parametrize("status", DOWN)
def test_a_provider_that_is_down_for_one_model_is_asked_for_the_next(
    serving: App, vendor: Vendor, emulator: Emulator, status: int
) -> None:
    tenant = serving.add_tenant("1.00")
    vendor.scenes = {DEARER: Scene(body={"error": {}}, status=status), MODEL: SERVED}
    answer = post(serving, tenant)
    assert answer.headers["X-Budget-Fallback"] == f"{MODEL}; {DOWN[status]}"
    assert (answer.json()["model"], answer.json()["cost"]["amount"]) == (MODEL, COST)
    headers, end = streamed(serving, tenant)
    assert headers["X-Budget-Fallback"] == end["fallback"] == f"{MODEL}; {DOWN[status]}"
    assert end["model"] == MODEL
    assert emulator.ledger(tenant["id"])["spent"] == 2 * COST
    assert emulator.live_holds(tenant["id"]) == 0


def test_an_error_as_the_first_event_of_a_stream_leads_to_the_next_model(
    serving: App, vendor: Vendor, emulator: Emulator
) -> None:
    tenant = serving.add_tenant("1.00")
    vendor.scenes = {DEARER: Scene(({"type": "error", **ERROR},)), MODEL: SERVED}
    assert streamed(serving, tenant)[1]["fallback"] == f"{MODEL}; provider_error"
    vendor.scenes[DEARER] = Scene((start(), {"type": "error", **ERROR}))
    asked = len(vendor.asked)
    assert "provider_error" in post(serving, tenant, stream=True).text
    assert len(vendor.asked) == asked + 1
    assert (emulator.ledger(tenant["id"])["spent"] > COST, emulator.live_holds(tenant["id"])) == (True, 0)


def test_a_model_that_is_too_dear_is_replaced_by_one_that_the_budget_can_pay(
    serving: App, vendor: Vendor, emulator: Emulator
) -> None:
    tenant = serving.add_tenant(f"{(HELD + COST) / 10**8:.8f}")
    vendor.scenes = {MODEL: SERVED}
    asked = len(vendor.asked)
    answer = post(serving, tenant)
    assert answer.headers["X-Budget-Fallback"] == f"{MODEL}; budget_exceeded"
    headers, end = streamed(serving, tenant)
    assert headers["X-Budget-Fallback"] == end["fallback"] == f"{MODEL}; budget_exceeded"
    assert emulator.ledger(tenant["id"])["spent"] == 2 * COST
    assert_problem(post(serving, tenant), 402, "budget_exceeded")
    assert [body["model"] for body in vendor.asked[asked:]] == [MODEL, MODEL]
    assert (emulator.ledger(tenant["id"])["spent"], emulator.live_holds(tenant["id"])) == (2 * COST, 0)


def test_too_dear_and_then_down_costs_nothing(serving: App, vendor: Vendor, emulator: Emulator) -> None:
    tenant = serving.add_tenant(f"{HELD / 10**8:.8f}")
    vendor.scenes = {MODEL: Scene(body={"error": {}}, status=503)}
    answer = post(serving, tenant)
    assert_problem(answer, 502, "provider_error")
    assert "X-Budget-Fallback" not in answer.headers
    assert (emulator.ledger(tenant["id"])["spent"], emulator.live_holds(tenant["id"])) == (0, 0)


@pytest.mark.parametrize("allow", [True, False])
@pytest.mark.parametrize("stream", [True, False])
def test_the_providers_api_falls_back_only_if_the_caller_allows_it(
    serving: App, vendor: Vendor, emulator: Emulator, stream: bool, allow: bool
) -> None:
    tenant, asked = serving.add_tenant("1.00"), len(vendor.asked)
    served = SERVED if stream else Scene(body=whole("Good day", (10, 3)))
    vendor.scenes = {DEARER: Scene(body={"error": {}}, status=500), MODEL: served}
    body = {"model": DEARER, "messages": [{"role": "user", "content": "Hello"}], LIMIT: 50, "stream": stream}
    headers = tenant["headers"] | ({"X-Budget-Fallback": "allow"} if allow else {})
    answer = HTTP.post(f"{serving.url}/v1{API}", json=body, headers=headers, timeout=30)
    assert (answer.status_code, len(vendor.asked) - asked) == ((200, 2) if allow else (502, 1))
    assert answer.headers.get("X-Budget-Fallback") == (f"{MODEL}; provider_error" if allow else None)
    wait_until(lambda: emulator.live_holds(tenant["id"]) == 0, 5, "settled")
    assert emulator.ledger(tenant["id"])["spent"] == (COST if allow else 0)


@pytest.mark.parametrize(
    "scene",
    [
        Scene((start(), text("four")), then="breaks off"),
        Scene(then="hangs"),
        Scene(body={"error": {"message": "No"}}, status=400),
        Scene(body={"error": {}}, status=401),
    ],
    ids=["broken off", "no answer in time", "refused", "key refused"],
)
def test_a_call_that_may_be_billed_or_was_refused_is_not_tried_with_another_model(
    serving: App, vendor: Vendor, scene: Scene
) -> None:
    tenant, asked = serving.add_tenant("1.00"), len(vendor.asked)
    vendor.scenes = {DEARER: scene, MODEL: SERVED}
    assert post(serving, tenant).status_code in (422, 502)
    assert len(vendor.asked) == asked + 1


def test_a_fallback_killed_before_its_commit_is_charged_once(
    installed: App, vendor: Vendor, emulator: Emulator, tmp_path: Path
) -> None:
    tenant, sent, killed = installed.add_tenant("1.00"), threading.Event(), threading.Event()
    vendor.scenes = {DEARER: Scene(body={"error": {}}, status=500), MODEL: SERVED}

    def meddle(request: str, send: Send) -> httpx.Response | None:
        if killed.is_set() or not request.endswith("/commit"):
            return send()
        sent.set()
        killed.wait(30)
        return None

    with relayed(installed, meddle, "CYCLES_BASE_URL") as app, ThreadPoolExecutor() as callers:
        app.environment["CYCLES_JOURNAL_DIR"] = str(tmp_path)
        with app.serving(**chained(vendor.url)) as serving:
            call = callers.submit(post, serving, tenant)
            try:
                assert sent.wait(30)
                assert serving.running is not None
                serving.running.kill()
                serving.running.wait(10)
            finally:
                killed.set()
            assert isinstance(call.exception(30), httpx.TransportError)
        with app.serving(**chained(vendor.url)):
            wait_until(lambda: unsettled(tmp_path) == 0, 10, "settled after the restart")
            ledger = emulator.ledger(tenant["id"])
            assert (ledger["spent"], ledger["reserved"]) == (COST, 0)


def ask_agent(app: App, tenant: dict[str, Any]) -> dict[str, Any]:
    body = {"task": "What is 2 * 7?", "limit": "0.50"}
    answer: dict[str, Any] = HTTP.post(f"{app.url}/api/agent", json=body, headers=tenant["headers"], timeout=60).json()
    return answer


def test_the_vendors_tool_calls_are_carried_out_and_answered(serving: App, vendor: Vendor, emulator: Emulator) -> None:
    tenant, asked = serving.add_tenant("1.00"), len(vendor.asked)
    calls = [*tool_call(0, "a", "calculate", '{"expression": "2', ' * 7"}'), *tool_call(1, "b", "nothing", "", "")]
    vendor.scenes = {}
    vendor.queue = [Scene((start(), *calls, finish("tool_use"), usage(10, 3), END)), SERVED]
    answer = ask_agent(serving, tenant)
    assert (answer["reply"], answer["steps"], answer["stopped"]) == ("Good day", 4, None)
    assert answer["cost"]["amount"] == emulator.ledger(tenant["id"])["spent"] == 2 * COST + 1_000
    first, second = vendor.asked[asked:]
    assert len(first["tools"]) == 2
    said = str(second["messages"])
    assert all(words in said for words in ("'14'", "There is no tool nothing.", "'a'", "'b'"))


def test_a_model_that_calls_a_tool_which_caps_forbid_is_told_so(
    serving: App, vendor: Vendor, emulator: Emulator
) -> None:
    tenant = serving.add_tenant("1.00")
    emulator.control("ledger", {"scope": scope_of(tenant["id"]), "caps": {"tool_denylist": ["calculate"]}})
    call = tool_call(0, "a", "calculate", '{"expression": "1"}', "")
    vendor.scenes = {}
    vendor.queue = [Scene((start(), *call, finish("tool_use"), usage(10, 3), END)), SERVED]
    answer = ask_agent(serving, tenant)
    assert (answer["reply"], answer["steps"], answer["stopped"]) == ("Good day", 3, None)
    assert answer["cost"]["amount"] == emulator.ledger(tenant["id"])["spent"] == 2 * COST
    assert "The tool calculate is not allowed." in str(vendor.asked[-1]["messages"])


def test_a_model_that_never_ends_is_stopped_after_20_steps(serving: App, vendor: Vendor, emulator: Emulator) -> None:
    tenant = serving.add_tenant("1.00")
    call = tool_call(0, "a", "calculate", '{"expression": "1"}', "")
    vendor.scenes = {MODEL: Scene((start(), *call, finish("tool_use"), usage(10, 3), END))}
    answer = ask_agent(serving, tenant)
    assert (answer["steps"], answer["stopped"]) == (20, "max_steps")
    assert answer["cost"]["amount"] == emulator.ledger(tenant["id"])["spent"] == 10 * (COST + 1_000)


def test_a_provider_that_fails_later_stops_the_agent(serving: App, vendor: Vendor, emulator: Emulator) -> None:
    tenant = serving.add_tenant("1.00")
    call = tool_call(0, "a", "calculate", '{"expression": "1"}', "")
    vendor.scenes = {MODEL: Scene(body={"error": {}}, status=500)}
    vendor.queue = [Scene((start(), text("Let me see."), *call, finish("tool_use"), usage(10, 3), END))]
    answer = ask_agent(serving, tenant)
    assert (answer["reply"], answer["steps"], answer["stopped"]) == ("Let me see.", 2, "provider_error")
    assert answer["cost"]["amount"] == emulator.ledger(tenant["id"])["spent"] == COST + 1_000
