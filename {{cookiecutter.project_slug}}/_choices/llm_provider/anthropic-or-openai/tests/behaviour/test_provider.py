"""The model provider fails, lies or falls silent: what was used is charged, nothing used is released."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..browsing import browser, sign_in
from ..running import HTTP, App, Emulator, free_port, scope_of, wait_until
from ..vendor import Vendor
from ..wire import (
    END,
    ERROR,
    FAILURES,
    INPUT,
    KEY,
    LIMIT,
    MODEL,
    ODD,
    OUTPUT,
    REPORTS,
    TIER,
    UNREADABLE,
    finish,
    settings,
    start,
    text,
    thinking,
    usage,
    whole,
)
from .test_chat import server_sent
from .test_refusals import assert_problem

HELLO = {"prompt": "Hello, vendor"}  # 13 bytes, so 4 tokens by our count
ASKED = 4 * INPUT
HELD = (13 + 8 + 16) * INPUT + 100 * OUTPUT
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("/api/chat", HELLO),
    "stream": ("/api/chat", {**HELLO, "stream": True}),
    "a summary": ("/api/summarize", {"text": "Hello"}),
}


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the app says."""
    return tmp_path_factory.mktemp("provider") / "log"


def logged(log: Path, *words: str) -> bool:
    return any(all(word in line for word in words) for line in log.read_text("utf-8").splitlines())


@pytest.fixture(scope="module")
def serving(installed: App, vendor: Vendor, log: Path) -> Iterator[App]:
    limits = {"LLM_READ_TIMEOUT": "1", "LLM_MAX_TOKENS": "100"}
    with replace(installed, log=log).serving(**settings(vendor.url), **limits) as app:
        yield app


class Payer:
    """The tenant of a test: one for all of them, since adding one takes a command."""

    def __init__(self, tenant: dict[str, Any], emulator: Emulator) -> None:
        self.id: str = tenant["id"]
        self.headers: dict[str, str] = tenant["headers"]
        self._emulator = emulator
        self._before = self._settled()

    def spent(self) -> int:
        """Microcents since the test began, once no hold is left."""
        return self._settled() - self._before

    def _settled(self) -> int:
        wait_until(lambda: self._emulator.live_holds(self.id) == 0, 5, "settled")
        spent: int = self._emulator.ledger(self.id)["spent"]
        return spent


@pytest.fixture(scope="module")
def rich(installed: App) -> dict[str, Any]:
    return installed.add_tenant("100.00")


@pytest.fixture
def payer(rich: dict[str, Any], emulator: Emulator) -> Payer:
    return Payer(rich, emulator)


def post(app: App, tenant: Payer, path: str = "/api/chat", body: dict[str, Any] = HELLO) -> httpx.Response:
    return HTTP.post(app.url + path, json=body, headers=tenant.headers, timeout=30)


def streamed(app: App, tenant: Payer) -> list[tuple[str, Any]]:
    body = {**HELLO, "stream": True}
    with HTTP.stream("POST", f"{app.url}/api/chat", json=body, headers=tenant.headers, timeout=30) as answer:
        return list(server_sent(answer))


def test_a_provider_that_cannot_be_reached_is_502_and_nothing_is_charged(installed: App, payer: Payer) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with installed.serving(**settings(nobody)) as app:
        for path, body in CALLS.values():
            problem = assert_problem(post(app, payer, path, body), 502, "provider_error")
            assert nobody not in str(problem)
    assert payer.spent() == 0


REFUSALS = [
    (400, {}, 422, "provider_refused"),
    (401, {}, 502, "provider_error"),
    (404, {}, 502, "provider_error"),
    (429, {"Retry-After": "7"}, 429, "limit_exceeded"),
    (500, {}, 502, "provider_error"),
    (504, {}, 502, "provider_error"),
]


@pytest.mark.parametrize(("path", "body"), CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("status", "headers", "ours", "code"), REFUSALS)
def test_a_provider_that_refuses_is_asked_once_costs_nothing_and_shows_no_key(
    serving: App,
    vendor: Vendor,
    payer: Payer,
    path: str,
    body: dict[str, Any],
    status: int,
    headers: dict[str, str],
    ours: int,
    code: str,
) -> None:
    asked = len(vendor.asked)
    told = {"message": f"At most 9 tokens, not 10. {KEY}", "internal": "cluster 7"}
    vendor.plays(body={"error": told}, status=status, headers=headers)
    answer = post(serving, payer, path, body)
    problem = assert_problem(answer, ours, code)
    assert ("At most 9 tokens, not 10." in problem["detail"]) == (code == "provider_refused")
    assert answer.headers.get("Retry-After") == headers.get("Retry-After")
    assert not any(secret in answer.text for secret in (KEY, "cluster 7"))
    assert (payer.spent(), len(vendor.asked)) == (0, asked + 1)


@pytest.mark.parametrize(("path", "body"), CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("then", ["hangs", "breaks off"])
def test_a_provider_that_was_asked_and_never_answers_costs_the_input_and_the_log_says_what_it_may_bill(
    serving: App, vendor: Vendor, payer: Payer, log: Path, path: str, body: dict[str, Any], then: Any
) -> None:
    vendor.plays(then=then)
    assert_problem(post(serving, payer, path, body), 502, "provider_error")
    assert payer.spent() == (ASKED if "prompt" in body else 15 * INPUT)
    if "prompt" in body:
        told = ("model provider failed", f"may_be_billed_microcents={HELD} ")
        wait_until(lambda: logged(log, *told), 2, "told in the log")


def test_a_client_that_leaves_before_the_first_event_stops_the_provider_and_pays_for_the_input(
    serving: App, vendor: Vendor, payer: Payer
) -> None:
    asked = len(vendor.asked)
    vendor.plays(then="hangs")
    with pytest.raises(httpx.ReadTimeout):
        HTTP.post(f"{serving.url}/api/chat", json={**HELLO, "stream": True}, headers=payer.headers, timeout=0.3)
    assert vendor.left.wait(0.5), "well before the read timeout"
    assert len(vendor.asked) == asked + 1
    assert payer.spent() == ASKED


def test_a_paid_call_logs_one_line(serving: App, vendor: Vendor, payer: Payer, log: Path) -> None:
    before = len(log.read_text("utf-8").splitlines())
    vendor.plays(start(), text("Hello"), usage(9, 5), finish("stop"), END)
    assert post(serving, payer).status_code == 200
    assert payer.spent() > 0
    [line] = wait_until(lambda: log.read_text("utf-8").splitlines()[before:], 2, "told in the log")
    assert "outcome=charged" in line


ENDINGS = [
    pytest.param({}, id="ends early"),
    pytest.param({"then": "hangs"}, id="falls silent"),
    pytest.param({"then": "breaks off"}, id="is disconnected"),
    pytest.param({"events": (ERROR,)}, id="tells an error"),
    pytest.param({"events": (b"{",)}, id="is unreadable"),
]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("told", "tokens"), [(None, (4, 3)), ((9, 5), (9, 5))], ids=["no usage", "usage"])
def test_an_answer_that_fails_in_the_middle_is_charged_for_what_was_used(
    serving: App,
    vendor: Vendor,
    payer: Payer,
    ending: dict[str, Any],
    told: tuple[int, int] | None,
    tokens: tuple[int, int],
) -> None:
    begun = [start(), text("Hello "), text("you"), text("!!!")]
    if told:
        begun.append(usage(*told))
    vendor.plays(*begun, *ending.get("events", ()), then=ending.get("then", "ends"))
    *deltas, (name, problem) = streamed(serving, payer)
    assert "".join(delta["text"] for _, delta in deltas) == "Hello you!!!"
    assert (name, problem["code"]) == ("error", "provider_error")
    assert payer.spent() == tokens[0] * INPUT + tokens[1] * OUTPUT
    assert_problem(post(serving, payer), 502, "provider_error")
    assert payer.spent() == 2 * (tokens[0] * INPUT + tokens[1] * OUTPUT), "a plain call costs the same"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reason", ["stop", "length", "content_filter", None])
def test_the_answer_says_why_the_text_ended(
    serving: App, vendor: Vendor, payer: Payer, *, stream: bool, reason: str | None
) -> None:
    ending = [finish(reason), END] if reason else [END]
    vendor.plays(start(), text("Hi"), *ending)
    answer = streamed(serving, payer)[-1][1] if stream else post(serving, payer).json()
    assert answer["finish_reason"] == reason
    assert payer.spent() == answer["cost"]["amount"] == ASKED + OUTPUT


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", REPORTS)
def test_usage_that_cannot_be_true_is_charged_by_what_is_known(
    serving: App, vendor: Vendor, payer: Payer, case: str, *, stream: bool
) -> None:
    events, cost = REPORTS[case]
    vendor.plays(*events, finish("stop"), END)
    answer = streamed(serving, payer)[-1][1] if stream else post(serving, payer).json()
    assert payer.spent() == answer["cost"]["amount"] == cost


def test_a_service_tier_without_a_price_costs_all_that_was_held(serving: App, vendor: Vendor, payer: Payer) -> None:
    vendor.plays(TIER, text("Hi"), usage(20, 8), finish("stop"), END)
    assert post(serving, payer).json()["cost"]["amount"] == payer.spent() == HELD


@pytest.mark.parametrize("stream", [False, True])
def test_events_without_anything_to_read_are_no_failure(
    serving: App, vendor: Vendor, payer: Payer, *, stream: bool
) -> None:
    vendor.plays(*ODD, text("Hi"), *ODD, finish("stop"), *ODD, END)
    if stream:
        *deltas, (name, _) = streamed(serving, payer)
        assert (deltas, name) == ([("delta", {"text": "Hi"})], "done")
    else:
        assert post(serving, payer).json()["reply"] == "Hi"


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_that_looks_like_an_answer_is_reported_as_a_failure(
    serving: App, vendor: Vendor, payer: Payer, case: str
) -> None:
    vendor.plays(start(), text("Hi"), *FAILURES[case])
    assert streamed(serving, payer)[-1][0] == "error"
    problem = assert_problem(post(serving, payer), 502, "provider_error")
    assert KEY not in str(problem)
    assert payer.spent() == 2 * (ASKED + OUTPUT)


@pytest.mark.parametrize("body", UNREADABLE)
def test_an_unreadable_answer_is_a_failure_that_costs_the_usage_it_tells(
    serving: App, vendor: Vendor, payer: Payer, body: Any
) -> None:
    vendor.plays(body=body)
    assert_problem(post(serving, payer), 502, "provider_error")
    assert payer.spent() == 20 * INPUT + 8 * OUTPUT


@pytest.mark.parametrize("told", [None, (9, 5)])
def test_an_answer_in_one_piece_is_read_too(
    serving: App, vendor: Vendor, payer: Payer, told: tuple[int, int] | None
) -> None:
    vendor.plays(body=whole("twelve bytes", told))
    answer = post(serving, payer).json()
    read, written = told or (4, 3)
    assert (answer["reply"], answer["usage"]) == ("twelve bytes", {"input_tokens": read, "output_tokens": written})
    assert payer.spent() == answer["cost"]["amount"] == read * INPUT + written * OUTPUT


def test_half_an_emoji_is_no_failure(serving: App, vendor: Vendor, payer: Payer) -> None:
    vendor.plays(start(), text("Hi \ud83d"), text("\ude00 \ud83d"), finish("stop"), END)
    assert post(serving, payer).json()["reply"] == "Hi \N{GRINNING FACE} \N{REPLACEMENT CHARACTER}"
    assert streamed(serving, payer)[-1][0] == "done"


def test_thinking_is_charged_also_when_the_client_leaves_before_any_usage(
    serving: App, vendor: Vendor, payer: Payer
) -> None:
    vendor.plays(start(), thinking("x" * 40), text("Yes."), then="hangs")
    body = {**HELLO, "stream": True}
    with HTTP.stream("POST", f"{serving.url}/api/chat", json=body, headers=payer.headers) as answer:
        assert next(server_sent(answer)) == ("delta", {"text": "Yes."})
    assert vendor.left.wait(0.5), "well before the read timeout"
    assert payer.spent() == ASKED + 11 * OUTPUT


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_without_a_price_costs_all_that_was_held_and_never_nothing(
    serving: App, vendor: Vendor, payer: Payer, *, stream: bool
) -> None:
    vendor.plays(start("gpt-99"), text("Hi"), usage(4, 1), finish("stop"), END)
    cost = streamed(serving, payer)[-1][1]["cost"] if stream else post(serving, payer).json()["cost"]
    assert payer.spent() == cost["amount"] == HELD


def test_usage_above_the_hold_is_charged_as_far_as_it_goes_and_the_rest_is_told(
    serving: App, vendor: Vendor, emulator: Emulator, log: Path
) -> None:
    poor = Payer(serving.add_tenant("0.001"), emulator)
    before = serving.metric("budget_uncharged_microcents_total")
    vendor.plays(start(), text("Hi"), usage(1_000, 1_000), finish("stop"), END)
    answer = post(serving, poor)
    assert answer.status_code == 200, answer.text
    assert answer.json()["cost"]["amount"] == poor.spent() == 100_000
    uncharged = 1_000 * (INPUT + OUTPUT) - 100_000
    assert serving.metric("budget_uncharged_microcents_total") == before + uncharged
    told = ("] uncharged ", f"tenant={poor.id}", f"microcents={uncharged} ")
    wait_until(lambda: logged(log, *told), 2, "told in the log")
    problem = assert_problem(post(serving, poor), 402, "overdraft_limit_exceeded")
    assert problem["scope"] == scope_of(poor.id)
    wait_until(lambda: page_of(serving, poor, " uncharged"), 5, "shown on the dashboard")
    serving.done("tenants", "fund", poor.id, "--credit", "1.00")
    wait_until(lambda: post(serving, poor).status_code == 200, 2, "served again once it is funded")


def page_of(app: App, tenant: Payer, words: str) -> str:
    """The tenant's page as the operator sees it, if it holds `words`."""
    with browser(app) as client:
        sign_in(client, **app.operator)
        page = client.get(f"/dashboard/tenants/{tenant.id}").text
    return page if words in page else ""


def test_caps_of_the_engine_bound_what_the_vendor_is_asked_for(
    serving: App, vendor: Vendor, payer: Payer, emulator: Emulator
) -> None:
    asked = len(vendor.asked)
    emulator.control("ledger", {"scope": scope_of(payer.id), "caps": {"max_tokens": 7}})
    vendor.plays(start(), text("Hi"), usage(4, 1), finish("stop"), END)
    for path, body in (("/api/chat", HELLO), ("/api/summarize", {"text": "Hello"})):
        assert post(serving, payer, path, body).status_code == 200
    assert [body[LIMIT] for body in vendor.asked[asked:]] == [7, 7]
    assert {body["model"] for body in vendor.asked[asked:]} == {MODEL}
    emulator.control("ledger", {"scope": scope_of(payer.id), "caps": None})
