"""Server-sent events: when the response opens, pings, slow readers and readers that leave."""

import asyncio
from collections.abc import AsyncGenerator, MutableMapping
from typing import Any

import pytest

from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.web import sse

DELTA = sse.encode("delta", {"text": "Hi"})


class Reader:
    """What an ASGI server has sent. Takes no more messages until it is told to."""

    def __init__(self, *, takes: bool = True) -> None:
        self.body = b""
        self.is_complete = False
        self.asked, self.pinged_twice = asyncio.Event(), asyncio.Event()
        self.takes = asyncio.Event()
        if takes:
            self.takes.set()

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.asked.set()
        await self.takes.wait()
        self.body += message["body"]
        self.is_complete = not message.get("more_body", False)
        if self.body.startswith(sse.PING * 2):
            self.pinged_twice.set()


def test_what_fails_before_the_first_event_is_raised() -> None:
    async def refused(*, held: bool) -> AsyncGenerator[bytes]:
        if held:
            yield b""
        raise Problem("provider_error")

    async def main() -> None:
        for held in (True, False):
            with pytest.raises(Problem, match="provider_error"):
                await sse.open_events(refused(held=held), "r")

    asyncio.run(main())


def test_a_silent_stream_opens_is_pinged_and_then_fails_as_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "FIRST_S", 0.01)
    monkeypatch.setattr(sse, "PING_S", 0.01)

    async def failing(pause: asyncio.Event) -> AsyncGenerator[bytes]:
        yield b""
        await pause.wait()
        yield DELTA
        raise Problem("provider_error")

    async def main() -> None:
        pause, reader = asyncio.Event(), Reader()
        sending = asyncio.ensure_future((await sse.open_events(failing(pause), "r")).send_to(reader.send))
        await reader.pinged_twice.wait()
        pause.set()
        await sending
        rest = reader.body.replace(sse.PING, b"")
        assert rest.startswith(DELTA + b'event: error\ndata: {"type":"urn:problem:provider_error"')
        assert reader.is_complete

    asyncio.run(main())


def test_a_stream_that_is_slow_to_begin_opens_with_a_ping(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "FIRST_S", 0.01)

    async def silent() -> AsyncGenerator[bytes]:
        yield b""
        await asyncio.Event().wait()

    async def main() -> None:
        frames, reader = await sse.open_events(silent(), "r"), Reader()
        sending = asyncio.ensure_future(frames.send_to(reader.send))
        for _ in range(10):
            await asyncio.sleep(0)
        assert reader.body == sse.PING
        sending.cancel()
        await asyncio.wait([sending])

    asyncio.run(main())


def test_a_slow_reader_gets_everything_and_stops_the_maker_in_between() -> None:
    big = sse.encode("delta", {"text": "x" * 30_000})
    made = list[int]()

    async def many() -> AsyncGenerator[bytes]:
        yield b""
        for number in range(40):
            made.append(number)
            yield big

    async def main() -> None:
        reader = Reader(takes=False)
        sending = asyncio.ensure_future((await sse.open_events(many(), "r")).send_to(reader.send))
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(made) <= sse.AHEAD, "not all"
        reader.takes.set()
        await sending
        assert (reader.body, reader.is_complete) == (big * 40, True)

    asyncio.run(main())


@pytest.mark.parametrize("when", ["before the first event", "while it is slow", "in between"])
def test_a_reader_that_leaves_ends_the_maker_before_it_is_gone(when: str) -> None:
    ended = list[str]()

    async def endless(reached: asyncio.Event) -> AsyncGenerator[bytes]:
        try:
            yield b""
            if when != "before the first event":
                yield DELTA
            reached.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("settled")

    async def main() -> None:
        reader, reached = Reader(takes=when != "while it is slow"), asyncio.Event()

        async def answer() -> None:
            await (await sse.open_events(endless(reached), "r")).send_to(reader.send)

        answering = asyncio.ensure_future(answer())
        await (reached if when == "before the first event" else reader.asked).wait()
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering
        assert (ended, reader.is_complete) == (["settled"], False)
        assert bool(reader.body) == (when == "in between")

    asyncio.run(main())


@pytest.mark.parametrize("opened", [False, True])
def test_a_maker_that_a_stopping_process_cancels_fails_as_shutting_down(*, opened: bool) -> None:
    makers = list[asyncio.Task[Any] | None]()

    async def endless(reached: asyncio.Event) -> AsyncGenerator[bytes]:
        makers.append(asyncio.current_task())
        yield b""
        if opened:
            yield DELTA
        reached.set()
        await asyncio.Event().wait()

    async def main() -> None:
        reader, reached = Reader(), asyncio.Event()

        async def answer() -> None:
            await (await sse.open_events(endless(reached), "r")).send_to(reader.send)

        answering = asyncio.ensure_future(answer())
        await (reader.asked if opened else reached).wait()
        assert makers[0] is not None
        makers[0].cancel()
        if opened:
            await answering
            assert (b"urn:problem:shutting_down" in reader.body, reader.is_complete) == (True, True)
        else:
            with pytest.raises(Problem, match="shutting_down"):
                await answering

    asyncio.run(main())
