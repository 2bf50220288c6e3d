"""The provider against a stand-in of OpenAI's API (which is not ours), over real HTTP."""

import asyncio
import json
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from {{ cookiecutter.__package }}.core.provider_settings import ProviderSettings
from {{ cookiecutter.__package }}.llm import demo, openai, provider, providers

from .standin import Handler, answering, disconnect, hang, outcome, streaming

KEY = "sk-secret-key-1234567890"
CACHE = {"cached_tokens": 4, "cache_write_tokens": 3}
TOLD = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": CACHE}
USAGE = provider.Usage(9, 2, cached_input_tokens=4, cache_write_input_tokens=3)
MESSAGES = (provider.Message("system", "Be brief"), provider.Message("user", "Hello"))
REQUEST = provider.Request("gpt-test", MESSAGES, max_tokens=7)
Make = Callable[[str], provider.Provider]


def sse(choices: list[object], **members: object) -> bytes:
    return b"data: " + json.dumps({"choices": choices, **members}).encode() + b"\n\n"


def text(content: str) -> bytes:
    return sse([{"index": 0, "delta": {"content": content}}])


END = sse([{"index": 0, "delta": {}, "finish_reason": "stop"}])
TELLING = sse([], usage=TOLD)


def impatient(url: str) -> provider.Provider:
    return openai.OpenAIProvider(KEY, url, read_timeout=0.3)


@asynccontextmanager
async def serving(handler: Handler, make: Make = impatient) -> AsyncIterator[provider.Provider]:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", handler)
    async with TestServer(app) as server:
        one = make(str(server.make_url("/v1")))
        yield one
        await one.aclose()


def call(handler: Handler, *, stream: bool = True) -> list[object]:
    async def main() -> list[object]:
        async with serving(handler) as one:
            return [item async for item in outcome(one, REQUEST, stream=stream)]

    return asyncio.run(main())


def test_a_plain_answer_brings_its_text_model_and_usage() -> None:
    body = {"model": "gpt-test-1", "choices": [{"message": {"content": "Hi."}}], "usage": TOLD}
    assert call(answering(body), stream=False) == [provider.Completion("Hi.", "gpt-test-1", USAGE)]


def test_an_answer_without_usage_says_so() -> None:
    body = {"model": "gpt-test-1", "choices": [{"message": {"content": "Hi."}}]}
    assert call(answering(body), stream=False) == [provider.Completion("Hi.", "gpt-test-1", None)]
    assert call(streaming(text("Hi."), END)) == [provider.Delta("Hi.")]


def test_an_answer_of_nothing_is_paid_for_where_its_usage_is_told() -> None:
    body = {"model": "gpt-test-1", "choices": [], "usage": TOLD}
    assert call(answering(body), stream=False) == [provider.Completion("", "gpt-test-1", USAGE)]


def test_an_answer_in_parts_is_their_text() -> None:
    parts = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Hi"}, {"type": "text", "text": "."}]
    body = {"model": "gpt-test-1", "choices": [{"message": {"content": parts}}], "usage": TOLD}
    assert call(answering(body), stream=False) == [provider.Completion("Hi.", "gpt-test-1", USAGE)]
    piece = sse([{"index": 0, "delta": {"content": parts}}])
    assert call(streaming(piece, END, TELLING)) == [provider.Delta("Hi."), USAGE]


def test_a_stream_brings_its_pieces_and_then_its_usage() -> None:
    items = call(streaming(text("Hi"), text("."), END, TELLING, b"data: [DONE]\n\n"))
    assert items == [provider.Delta("Hi"), provider.Delta("."), USAGE]


def test_a_request_asks_for_usage_and_bounds_the_tokens() -> None:
    bodies: list[dict[str, object]] = []

    async def record(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.json())
        return await streaming(END)(request)

    call(record)
    messages = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hello"}]
    assert bodies[0]["messages"] == messages
    assert bodies[0]["max_completion_tokens"] == 7
    assert bodies[0]["stream_options"] == {"include_usage": True}


FAILURES = {
    "wrong key": ("refused", answering({"error": {"message": f"Incorrect key: {KEY}"}}, 401)),
    "unknown model": ("refused", answering({"error": {"message": "no such model"}}, 404)),
    "rate limited": ("refused", answering({}, 429)),
    "overloaded": ("failed", answering({}, 500)),
    "gateway timeout": ("timeout", answering({}, 504)),
    "hanging": ("timeout", hang),
    "disconnected": ("unreachable", disconnect),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_has_a_kind_is_not_retried_and_hides_the_key(case: str, *, stream: bool) -> None:
    kind, handler = FAILURES[case]
    requests: list[web.Request] = []

    async def counting(request: web.Request) -> web.StreamResponse:
        requests.append(request)
        return await handler(request)

    (error,) = call(counting, stream=stream)
    assert isinstance(error, provider.ProviderError)
    assert (error.kind, error.usage, len(requests)) == (kind, None, 1)
    assert KEY not in "".join(traceback.format_exception(error))


BEGUN = (text("Hi"), TELLING)
BROKEN = {
    "disconnected": ("unreachable", streaming(*BEGUN, then=disconnect)),
    "without an end": ("unreachable", streaming(*BEGUN)),
    "hanging": ("timeout", streaming(*BEGUN, then=hang)),
    "told an error": ("failed", streaming(*BEGUN, sse([], error={"message": KEY}))),
    "unreadable": ("failed", streaming(*BEGUN, b"data: {\n\n")),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_failure_within_a_stream_keeps_what_came_and_the_usage_told(case: str) -> None:
    kind, handler = BROKEN[case]
    *items, error = call(handler)
    assert items == [provider.Delta("Hi"), USAGE]
    assert isinstance(error, provider.ProviderError)
    assert (error.kind, error.usage) == (kind, USAGE)


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": [{}]}, [], "text"])
def test_an_answer_of_another_shape_is_a_failure(body: object) -> None:
    (error,) = call(answering(body), stream=False)
    assert isinstance(error, provider.ProviderError)
    assert error.kind == "failed"


def test_closing_a_stream_early_hangs_up_on_the_provider() -> None:
    async def main() -> None:
        hung_up = asyncio.Event()

        async def endless(request: web.Request) -> web.StreamResponse:
            try:
                return await streaming(text("Hi"), then=hang)(request)
            finally:
                hung_up.set()

        async with serving(endless) as one:
            async with aclosing(one.stream(REQUEST)) as items:
                assert await anext(items) == provider.Delta("Hi")
            async with asyncio.timeout(5):
                await hung_up.wait()

    asyncio.run(main())


def test_the_settings_make_the_provider() -> None:
    def by_settings(url: str) -> provider.Provider:
        settings = {"openai_api_key": KEY, "openai_base_url": url}
        return providers.make_provider(ProviderSettings.model_validate(settings))

    async def main() -> list[object]:
        async with serving(streaming(text("Hi"), END), by_settings) as one:
            return [item async for item in one.stream(REQUEST)]

    assert asyncio.run(main()) == [provider.Delta("Hi")]


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_the_demo_serves_and_production_has_a_fault(key: str | None) -> None:
    settings = ProviderSettings.model_validate({"openai_api_key": key})
    assert isinstance(providers.make_provider(settings), demo.DemoProvider)
    assert settings.provider_faults() == ["OPENAI_API_KEY is missing (or set LLM_PROVIDER=demo)"]
    assert not settings.model_copy(update={"llm_provider": "demo"}).provider_faults()
