"""The provider against a stand-in of Anthropic's API (which is not ours), over real HTTP."""

import asyncio
import json
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from {{ cookiecutter.__package }}.core.provider_settings import ProviderSettings
from {{ cookiecutter.__package }}.llm import anthropic, demo, provider, providers

from .standin import Handler, answering, disconnect, hang, outcome, streaming

KEY = "sk-ant-secret-key-1234567890"
TOLD = {"input_tokens": 2, "output_tokens": 1, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3}
NAMED = provider.AnsweredBy("claude-test")
STARTED = provider.Usage(9, 1, cached_input_tokens=4, cache_write_input_tokens=3)
ENDED = provider.Usage(9, 2, cached_input_tokens=4, cache_write_input_tokens=3)
MESSAGES = (provider.Message("system", "Be brief"), provider.Message("user", "Hello"))
REQUEST = provider.Request("claude-test", MESSAGES, max_tokens=7)
Make = Callable[[str], provider.Provider]


def sse(kind: str, **members: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **members})}\n\n".encode()


def text(content: str) -> bytes:
    return sse("content_block_delta", index=0, delta={"type": "text_delta", "text": content})


START = sse("message_start", message={"model": "claude-test", "content": [], "usage": TOLD})
THINKING = sse("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm"})
TELLING = sse("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2})
END = sse("message_stop")


def impatient(url: str) -> provider.Provider:
    return anthropic.AnthropicProvider(KEY, url, read_timeout=0.3)


@asynccontextmanager
async def serving(handler: Handler, make: Make = impatient) -> AsyncIterator[provider.Provider]:
    app = web.Application()
    app.router.add_post("/v1/messages", handler)
    async with TestServer(app) as server:
        one = make(str(server.make_url("/")))
        yield one
        await one.aclose()


def call(handler: Handler, *, stream: bool = True) -> list[object]:
    async def main() -> list[object]:
        async with serving(handler) as one:
            return [item async for item in outcome(one, REQUEST, stream=stream)]

    return asyncio.run(main())


def test_a_plain_answer_brings_its_text_model_and_usage() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "Hi."}]
    body = {"type": "message", "model": "claude-test-1", "content": blocks}
    assert call(answering(body | {"usage": TOLD}), stream=False) == [
        provider.Completion("Hi.", "claude-test-1", STARTED)
    ]
    assert call(answering(body), stream=False) == [provider.Completion("Hi.", "claude-test-1", None)]


def test_a_stream_brings_its_pieces_and_its_usage_at_both_ends() -> None:
    items = call(streaming(START, THINKING, text("Hi"), sse("ping"), text("."), TELLING, END))
    thinking = provider.Delta("Hm", hidden=True)
    assert items == [NAMED, STARTED, thinking, provider.Delta("Hi"), provider.Delta("."), ENDED]


def test_input_tokens_told_at_the_end_replace_those_of_the_start() -> None:
    end = sse("message_delta", delta={}, usage={"input_tokens": 20, "output_tokens": 2})
    assert call(streaming(START, end, END)) == [NAMED, STARTED, provider.Usage(20, 2)]


def test_a_system_message_goes_to_its_own_place() -> None:
    bodies: list[dict[str, object]] = []

    async def record(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.json())
        return await streaming(START, END)(request)

    call(record)
    assert bodies[0]["system"] == "Be brief"
    assert bodies[0]["messages"] == [{"role": "user", "content": "Hello"}]
    assert bodies[0]["max_tokens"] == 7


FAILURES = {
    "wrong key": ("refused", answering({"error": {"message": f"Incorrect key: {KEY}"}}, 401)),
    "unknown model": ("refused", answering({"error": {"message": "no such model"}}, 404)),
    "rate limited": ("refused", answering({}, 429)),
    "overloaded": ("failed", answering({}, 529)),
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


BEGUN = (START, text("Hi"))
OVERLOADED = sse("error", error={"type": "overloaded_error", "message": KEY})
BROKEN = {
    "disconnected": ("unreachable", streaming(*BEGUN, then=disconnect)),
    "without an end": ("unreachable", streaming(*BEGUN)),
    "hanging": ("timeout", streaming(*BEGUN, then=hang)),
    "told an error": ("failed", streaming(*BEGUN, OVERLOADED)),
    "unreadable": ("failed", streaming(*BEGUN, b"event: message_delta\ndata: {\n\n")),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_failure_within_a_stream_keeps_what_came_and_the_usage_told(case: str) -> None:
    kind, handler = BROKEN[case]
    *items, error = call(handler)
    assert items == [NAMED, STARTED, provider.Delta("Hi")]
    assert isinstance(error, provider.ProviderError)
    assert (error.kind, error.usage) == (kind, STARTED)


@pytest.mark.parametrize("body", [{}, {"content": None}, {"content": [{"type": "text"}]}, [], "text"])
def test_an_answer_of_another_shape_is_a_failure(body: object) -> None:
    (error,) = call(answering(body), stream=False)
    assert isinstance(error, provider.ProviderError)
    assert error.kind == "failed"


def test_closing_a_stream_early_hangs_up_on_the_provider() -> None:
    async def main() -> None:
        hung_up = asyncio.Event()

        async def endless(request: web.Request) -> web.StreamResponse:
            try:
                return await streaming(START, then=hang)(request)
            finally:
                hung_up.set()

        async with serving(endless) as one:
            async with aclosing(one.stream(REQUEST)) as items:
                assert [await anext(items), await anext(items)] == [NAMED, STARTED]
            async with asyncio.timeout(5):
                await hung_up.wait()

    asyncio.run(main())


def test_the_settings_make_the_provider() -> None:
    def by_settings(url: str) -> provider.Provider:
        settings = {"anthropic_api_key": KEY, "anthropic_base_url": url}
        return providers.make_provider(ProviderSettings.model_validate(settings))

    async def main() -> list[object]:
        async with serving(streaming(START, text("Hi"), END), by_settings) as one:
            return [item async for item in one.stream(REQUEST)]

    assert asyncio.run(main()) == [NAMED, STARTED, provider.Delta("Hi")]


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_the_demo_serves_and_production_has_a_fault(key: str | None) -> None:
    settings = ProviderSettings.model_validate({"anthropic_api_key": key})
    assert isinstance(providers.make_provider(settings), demo.DemoProvider)
    assert settings.provider_faults() == ["ANTHROPIC_API_KEY is missing (or set LLM_PROVIDER=demo)"]
    assert not settings.model_copy(update={"llm_provider": "demo"}).provider_faults()
