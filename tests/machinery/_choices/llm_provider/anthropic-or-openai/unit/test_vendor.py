"""The HTTP client of the model provider over real HTTP, and its parser of server-sent events."""

import asyncio
import json
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from {{ cookiecutter.__package }}.core.provider_settings import ProviderSettings
from {{ cookiecutter.__package }}.llm import demo, providers, vendor
from {{ cookiecutter.__package }}.llm.event_stream import EventParser, data_of
from {{ cookiecutter.__package }}.llm.http_provider import HttpProvider
from {{ cookiecutter.__package }}.llm.provider import Delta, Finish, Item, Message, ProviderError, Request

from .. import wire
from ..vendor import run_vendor

KEY = "secret-key-1234567890"
READ_TIMEOUT_S = 0.3
REQUEST = Request("any", (Message("user", "Hello"),), 10)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[tuple[vendor.HttpVendor, list[web.Request]]]:
    """A client of a vendor that answers with `handler`, and the requests so far."""
    requests = list[web.Request]()

    async def answer(request: web.Request) -> web.StreamResponse:
        requests.append(request)
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        client = vendor.HttpVendor(str(server.make_url("/")), KEY, {"X-Key": KEY}, read_timeout=READ_TIMEOUT_S)
        yield client, requests
        await client.aclose()


async def ask(client: vendor.HttpVendor, sent: Callable[[], object] = bool) -> bytes:
    async with client.ask("/v1/chat", b"{}", sent=sent) as answer:
        return await answer.read()


async def hang(_: web.Request) -> web.StreamResponse:
    return await asyncio.Future()


async def disconnect(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def break_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"data: {}")
    return await disconnect(request)


async def redirect(_: web.Request) -> web.StreamResponse:
    raise web.HTTPTemporaryRedirect("/elsewhere")


def refuse(status: int, body: str, **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=body, headers=headers)

    return handler


TOO_LONG = f'{{"error": {{"message": "{"x" * 2_000} {KEY}", "type": "invalid_request_error"}}}}'
FAILURES = {
    "hanging": ("timeout", False, hang),
    "disconnected": ("broken_off", False, disconnect),
    "broken off": ("broken_off", False, break_off),
    "redirecting": ("refused", True, redirect),
    "wrong key": ("refused", True, refuse(401, KEY)),
    "too long": ("refused", True, refuse(400, TOO_LONG)),
    "nested": ("refused", True, refuse(400, "[" * 100_000)),
    "limited": ("limited", True, refuse(429, "")),
    "overloaded": ("failed", True, refuse(529, "")),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_has_a_kind_is_not_retried_and_hides_the_key(case: str) -> None:
    kind, answered, handler = FAILURES[case]
    sent = list[str]()

    async def main() -> None:
        async with serving(handler) as (client, requests):
            with pytest.raises(ProviderError) as caught:
                await ask(client, lambda: sent.append("sent"))
            error = caught.value
            assert (error.kind, error.answered, len(requests), sent) == (kind, answered, 1, ["sent"])
            assert KEY not in "".join(traceback.format_exception(error)) + str(error.detail)
            assert len(error.detail or "") <= vendor.MAX_DETAIL

    asyncio.run(main())


def test_a_vendor_that_falls_silent_in_its_answer_times_out() -> None:
    async def main() -> None:
        read = asyncio.Event()

        async def fall_silent(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b"1")
            await read.wait()
            await response.write(b"2")
            return await hang(request)

        async with serving(fall_silent) as (client, _):
            chunks = list[bytes]()

            async def listen() -> None:
                async with client.ask("/v1/chat", b"{}") as answer:
                    async for chunk in answer.chunks:
                        chunks.append(chunk)
                        read.set()

            with pytest.raises(ProviderError) as caught:
                await listen()
            assert (caught.value.kind, chunks) == ("timeout", [b"1", b"2"])

    asyncio.run(main())


@pytest.mark.parametrize("size", [10, 2_000_000], ids=["all has come", "vendor waits"])
def test_a_client_may_be_slower_than_the_vendor_may_be_silent(size: int) -> None:
    async def send(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(10):
            await response.write(b"x" * (size // 10))
        return response

    async def main() -> None:
        async with serving(send) as (client, _), client.ask("/v1/chat", b"{}") as answer:
            await asyncio.sleep(2 * READ_TIMEOUT_S)  # the time is what is tested
            assert len(await answer.read()) == size

    asyncio.run(main())


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *(("7", 7), ("0", 1), ("9" * 9, 999_999), ("Wed, 21 Oct 2015 07:28:00 GMT", 1), ("soon", None), ("-1", None)),
        ("Wed, 21 Oct 2015 07:28:00 -0000", None),
    ],
)
def test_a_limit_says_how_long_to_wait(header: str, seconds: int | None) -> None:
    async def main() -> None:
        async with serving(refuse(429, "", **{"Retry-After": header})) as (client, _):
            with pytest.raises(ProviderError) as caught:
                await ask(client)
            assert caught.value.retry_after == seconds

    asyncio.run(main())


def test_a_limit_may_name_the_time_when_it_ends() -> None:
    async def main() -> None:
        end = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
        async with serving(refuse(429, "", **{"Retry-After": end})) as (client, _):
            with pytest.raises(ProviderError) as caught:
                await ask(client)
            assert 3_000 < (caught.value.retry_after or 0) <= 3_601

    asyncio.run(main())


def test_nothing_is_sent_to_a_vendor_that_does_not_accept_connections() -> None:
    sent = list[str]()

    async def main() -> None:
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            taken = [socket.socket() for _ in range(4)]  # more than its queue
            for each in taken:
                each.setblocking(False)
                with suppress(BlockingIOError):
                    each.connect(full.getsockname())
            client = vendor.HttpVendor(f"http://127.0.0.1:{full.getsockname()[1]}", KEY, {}, read_timeout=5)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await ask(client, lambda: sent.append("sent"))
            await client.aclose()
            for each in taken:
                each.close()
        unreachable = vendor.HttpVendor("http://127.0.0.1:9", KEY, {}, read_timeout=5)
        with pytest.raises(ProviderError) as caught:
            await ask(unreachable, lambda: sent.append("sent"))
        assert caught.value.kind == "unreachable"
        await unreachable.aclose()

    asyncio.run(main())
    assert sent == []


ENDLESS = {"plain": b"x", "an event": b"data: x", "a stream": b"data: {}\n\n"}


@pytest.mark.parametrize("case", ENDLESS)
def test_an_answer_without_end_fails_before_it_fills_the_memory(case: str) -> None:
    kind = "application/json" if case == "plain" else "text/event-stream"
    piece = ENDLESS[case] + b" " * 2**20

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(piece + b"\n\n" * (case == "a stream"))
        return response

    async def main() -> None:
        async with serving(stream) as (client, _):
            provider = HttpProvider(client, "/", lambda _: {}, lambda _: iter(()))
            with pytest.raises(ProviderError) as caught:
                [item async for item in provider.stream(REQUEST, list, paced=False)]
            assert (caught.value.kind, caught.value.answered) == ("failed", False)

    asyncio.run(main())


def test_requests_share_a_connection_but_no_cookies_and_ignore_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    connections = list[object]()

    async def answer(request: web.Request) -> web.StreamResponse:
        connections.append(request.transport)
        response = web.Response(text="ok")
        response.set_cookie("session", "1")
        return response

    async def main() -> None:
        async with serving(answer) as (client, requests):
            assert [await ask(client), await ask(client)] == [b"ok", b"ok"]
        first, second = requests
        assert first.headers["X-Key"] == KEY
        assert "Cookie" not in second.headers
        assert connections[0] is connections[1]

    asyncio.run(main())


def test_streams_share_a_connection_though_their_last_bytes_come_late() -> None:
    connections = list[object]()

    async def answer(request: web.Request) -> web.StreamResponse:
        connections.append(request.transport)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        events: list[object] = [wire.text("Hi"), wire.END]
        for event in events:
            data = event if isinstance(event, bytes) else json.dumps(event).encode()
            await response.write(b"data: " + data + b"\n\n")
        await asyncio.sleep(0.01)
        return response

    async def main() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        async with TestServer(app) as server:
            url = str(server.make_url("/")).rstrip("/")
            chosen = {name.lower(): value for name, value in wire.settings(url).items()}
            provider = providers.make_provider(ProviderSettings.model_validate(chosen))
            for _ in range(2):
                assert [item async for item in provider.stream(REQUEST, list, paced=True)][-1] == Finish()
            await provider.vendor.aclose()
        first, second = connections
        assert first is second

    asyncio.run(main())


def test_the_settings_make_the_provider() -> None:
    with run_vendor() as running:
        running.plays(wire.start(), wire.text("Hi"), wire.finish("stop"))
        chosen = {name.lower(): value for name, value in wire.settings(running.url).items()}
        provider = providers.make_provider(ProviderSettings.model_validate(chosen))

        async def main() -> list[Item]:
            items = [item async for item in provider.stream(REQUEST, list, paced=True)]
            await provider.vendor.aclose()
            return items

        assert Delta("Hi") in asyncio.run(main())


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_the_demo_serves_and_production_has_a_fault(key: str | None) -> None:
    (name,) = (each for each in ProviderSettings.model_fields if each.endswith("_api_key"))
    settings = ProviderSettings.model_validate({name: key})
    assert isinstance(providers.make_provider(settings).vendor, demo.DemoVendor)
    assert settings.provider_faults() == [f"{name.upper()} is missing (or set LLM_PROVIDER=demo)"]
    assert not settings.model_copy(update={"llm_provider": "demo"}).provider_faults()


LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(
    datas=st.lists(st.lists(st.sampled_from(["{}", "[DONE]", "\N{SNOWMAN}", "", " x"]), min_size=1), max_size=5),
    end=LINE_ENDS,
    cuts=st.lists(st.integers(0, 200), max_size=8),
)
def test_events_are_the_same_wherever_their_bytes_are_cut(datas: list[list[str]], end: bytes, cuts: list[int]) -> None:
    stream = b""
    for lines in datas:
        stream += b": comment" + end + b"event: x" + end
        stream += b"".join(b"data: " + line.encode() + end for line in lines) + end
    parser, read = EventParser(), list[tuple[bytes, bytes]]()
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, stop in pairwise(places):
        read += parser.feed(stream[start:stop])
    assert b"".join(event for event, _ in read) + parser.rest == stream
    if end == b"\r" or not stream:  # its last line end may be half of CR LF
        read.append((b"", data_of(parser.rest)))
    assert [data for _, data in read if data] == ["\n".join(lines).encode() for lines in datas if "\n".join(lines)]


def test_an_event_that_comes_byte_by_byte_is_one_event() -> None:
    parser = EventParser()
    assert [parser.feed(bytes([byte])) for byte in b"data: {}\n\n"] == [*([[]] * 9), [(b"data: {}\n\n", b"{}")]]


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"\xef\xbb\xbfdata: {}\n\n", b"{}"),
        (b"data:{}\n\n", b"{}"),
        (b"data:  {}\n\n", b" {}"),
        (b"data\n\n", b""),
        (b"data: a\ndata: b\n\n", b"a\nb"),
        (b": ping\n\n", b""),
        (b"database: 1\n\n", b""),
    ],
)
def test_the_data_of_an_event_is_read_as_the_standard_says(event: bytes, data: bytes) -> None:
    assert EventParser().feed(event) == [(event, data)]
    assert data_of(event) == data
