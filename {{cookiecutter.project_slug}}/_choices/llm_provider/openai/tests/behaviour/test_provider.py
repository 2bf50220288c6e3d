"""The model provider fails, lies or falls silent: what was used is charged, nothing used is released."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from ..browsing import browser, sign_in
from ..running import HTTP, App, Emulator, free_port, scope_of, wait_until
from ..vendor import INPUT, MODEL, OUTPUT, Reply, Vendor, run_vendor
from .test_chat import server_sent
from .test_refusals import assert_problem

HELLO = {"prompt": "Hello, vendor"}  # 13 bytes, so 4 tokens by our count
HELD = (13 + 8 + 16) * INPUT + 100 * OUTPUT
CALLS = [
    pytest.param("/api/chat", HELLO, id="plain"),
    pytest.param("/api/chat", {**HELLO, "stream": True}, id="stream"),
    pytest.param("/api/summarize", {"text": "Hello"}, id="the decorator form"),
]


@pytest.fixture(scope="module")
def vendor() -> Iterator[Vendor]:
    with run_vendor() as running:
        yield running


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the app says."""
    return tmp_path_factory.mktemp("provider") / "log"


def logged(log: Path, *words: str) -> bool:
    return any(all(word in line for word in words) for line in log.read_text("utf-8").splitlines())


@pytest.fixture(scope="module")
def serving(installed: App, vendor: Vendor, log: Path) -> Iterator[App]:
    settings = {"LLM_PROVIDER": "openai", "OPENAI_API_KEY": "not-a-key", "OPENAI_BASE_URL": vendor.url}
    settings |= {"LLM_MODEL": MODEL, "LLM_READ_TIMEOUT": "1", "LLM_MAX_TOKENS": "100"}
    with replace(installed, log=log).serving(**settings) as app:
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
    settings = {"LLM_PROVIDER": "openai", "OPENAI_API_KEY": "not-a-key", "OPENAI_BASE_URL": nobody}
    with installed.serving(**settings) as serving:
        problem = assert_problem(post(serving, payer), 502, "provider_error")
    assert nobody not in str(problem)
    assert payer.spent() == 0


@pytest.mark.parametrize(("path", "body"), CALLS)
@pytest.mark.parametrize("how", ["refuses", "is silent"])
def test_a_provider_that_never_began_costs_nothing_and_is_asked_once(
    serving: App, vendor: Vendor, payer: Payer, path: str, body: dict[str, Any], how: str
) -> None:
    asked = vendor.requests
    vendor.answer = (lambda reply: reply.whole("", None, status=500)) if how == "refuses" else Reply.hang
    assert_problem(post(serving, payer, path, body), 502, "provider_error")
    assert payer.spent() == 0
    assert vendor.requests == asked + 1


def test_of_a_call_that_is_paid_the_log_has_one_line(serving: App, vendor: Vendor, payer: Payer, log: Path) -> None:
    before = len(log.read_text("utf-8").splitlines())
    vendor.answer = lambda reply: reply.whole("Hello", (9, 5))
    assert post(serving, payer).status_code == 200
    assert payer.spent() > 0
    [line] = wait_until(lambda: log.read_text("utf-8").splitlines()[before:], 2, "told in the log")
    assert "outcome=charged" in line


def test_of_a_request_that_timed_out_the_log_tells_what_the_vendor_may_bill_at_most(
    serving: App, vendor: Vendor, payer: Payer, log: Path
) -> None:
    vendor.answer = Reply.hang
    assert_problem(post(serving, payer), 502, "provider_error")
    told = ("model provider failed", "kind=timeout", f"may_be_billed_microcents={HELD} ")
    wait_until(lambda: logged(log, *told), 2, "told in the log")


@pytest.mark.parametrize(
    ("usage", "tokens"), [(None, (4, 3)), ((9, 5), (9, 5))], ids=["before it told its usage", "after it told its usage"]
)
def test_a_stream_that_breaks_off_is_charged_for_what_was_used(
    serving: App, vendor: Vendor, payer: Payer, usage: tuple[int, int] | None, tokens: tuple[int, int]
) -> None:
    vendor.answer = lambda reply: reply.pieces("Hello ", "you", "!!!", usage=usage)
    *deltas, (name, problem) = streamed(serving, payer)
    assert [delta["text"] for _, delta in deltas] == ["Hello ", "you", "!!!"]
    assert (name, problem["code"]) == ("error", "provider_error")
    assert payer.spent() == tokens[0] * INPUT + tokens[1] * OUTPUT


@pytest.mark.parametrize(
    ("path", "body", "read"),
    [("/api/chat", HELLO, 4), ("/api/summarize", {"text": "x"}, 14)],
    ids=["chat", "decorator"],
)
def test_an_answer_without_usage_is_charged_by_our_own_count(
    serving: App, vendor: Vendor, payer: Payer, path: str, body: dict[str, Any], read: int
) -> None:
    vendor.answer = lambda reply: reply.whole("twelve bytes", None)
    answer = post(serving, payer, path, body).json()
    assert answer["usage"] == {"input_tokens": read, "output_tokens": 3}
    assert payer.spent() == answer["cost"]["amount"] == read * INPUT + 3 * OUTPUT


def test_thinking_is_charged_also_when_the_client_leaves_before_any_usage(
    serving: App, vendor: Vendor, payer: Payer
) -> None:
    def thinks(reply: Reply) -> None:
        reply.pieces("Yes.", thinking="x" * 40)
        reply.hang()

    vendor.answer = thinks
    body = {**HELLO, "stream": True}
    with HTTP.stream("POST", f"{serving.url}/api/chat", json=body, headers=payer.headers) as answer:
        assert next(server_sent(answer)) == ("delta", {"text": "Yes."})
    assert payer.spent() == 4 * INPUT + 11 * OUTPUT


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_without_a_price_costs_all_that_was_held_and_never_nothing(
    serving: App, vendor: Vendor, payer: Payer, *, stream: bool
) -> None:
    def answers(reply: Reply) -> None:
        if stream:
            reply.pieces("Hi", usage=(4, 1), model="gpt-99")
            reply.end()
        else:
            reply.whole("Hi", (4, 1), model="gpt-99")

    vendor.answer = answers
    cost = streamed(serving, payer)[-1][1]["cost"] if stream else post(serving, payer).json()["cost"]
    assert payer.spent() == cost["amount"] == HELD


def test_a_stated_price_holds_for_models_that_the_table_does_not_list(
    installed: App, vendor: Vendor, payer: Payer
) -> None:
    vendor.answer = lambda reply: reply.whole("Hi", (4, 1), model="gpt-99")
    settings = {"LLM_PROVIDER": "openai", "OPENAI_API_KEY": "not-a-key", "OPENAI_BASE_URL": vendor.url}
    with installed.serving(**settings, LLM_MODEL="gpt-99", LLM_UNLISTED_PRICE="5.00,25.00") as app:
        assert post(app, payer).json()["cost"]["amount"] == payer.spent() == 4 * 500 + 2500


def test_usage_above_the_hold_is_charged_as_far_as_it_goes_and_the_rest_is_told(
    serving: App, vendor: Vendor, emulator: Emulator, log: Path
) -> None:
    poor = Payer(serving.add_tenant("0.001"), emulator)
    before = serving.metric("budget_uncharged_microcents_total")
    vendor.answer = lambda reply: reply.whole("Hi", (1_000, 1_000))
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
    asked: list[int] = []
    emulator.control("ledger", {"scope": scope_of(payer.id), "caps": {"max_tokens": 7}})

    def answers(reply: Reply) -> None:
        asked.append(reply.asked["max_completion_tokens"])
        reply.whole("Hi", (4, 1))

    vendor.answer = answers
    for path, body in (("/api/chat", HELLO), ("/api/summarize", {"text": "Hello"})):
        assert post(serving, payer, path, body).status_code == 200
    assert asked == [7, 7]
    emulator.control("ledger", {"scope": scope_of(payer.id), "caps": None})
