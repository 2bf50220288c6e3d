"""Server-sent events: when the response opens, pings, slow readers and readers that leave."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.web import sse

DELTA = ("delta", {"text": "Hi"})


async def slow(pause: asyncio.Event, *events: sse.Event) -> AsyncGenerator[sse.Event | None]:
    """Events after a pause, the call being held before it."""
    yield None
    await pause.wait()
    for event in events:
        yield event


def test_what_fails_before_the_first_event_is_raised() -> None:
    async def refused(*, held: bool) -> AsyncGenerator[sse.Event | None]:
        if held:
            yield None
        raise Problem("provider_error")
        yield None

    async def main() -> None:
        for held in (True, False):
            with pytest.raises(Problem, match="provider_error"):
                await anext(sse.encode_all(refused(held=held), "r"))

    asyncio.run(main())


def test_a_silent_stream_opens_is_pinged_and_then_fails_as_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "FIRST_S", 0.01)
    monkeypatch.setattr(sse, "SILENCE_S", 0.01)

    async def failing(pause: asyncio.Event) -> AsyncGenerator[sse.Event | None]:
        async for event in slow(pause, DELTA):
            yield event
        raise Problem("provider_error")

    async def main() -> None:
        pause = asyncio.Event()
        frames = sse.encode_all(failing(pause), "r")
        assert [await anext(frames) for _ in range(3)] == [b"", sse.PING, sse.PING]
        pause.set()
        rest = b"".join([frame async for frame in frames]).replace(sse.PING, b"")
        assert rest.startswith(sse.encode(DELTA) + b'event: error\ndata: {"type":"urn:problem:provider_error"')

    asyncio.run(main())


def test_a_slow_reader_gets_everything_and_stops_the_maker_in_between() -> None:
    big = ("delta", {"text": "x" * 30_000})
    made = list[int]()

    async def many() -> AsyncGenerator[sse.Event | None]:
        yield None
        for number in range(40):
            made.append(number)
            yield big

    async def main() -> None:
        frames = sse.encode_all(many(), "r")
        await anext(frames)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(made) == sse.AHEAD + 2, "not all"
        assert b"".join([frame async for frame in frames]) == sse.encode(big) * 40

    asyncio.run(main())


@pytest.mark.parametrize("opened", [False, True])
def test_a_reader_that_leaves_ends_the_maker_before_it_is_gone(*, opened: bool) -> None:
    ended = list[str]()

    async def endless() -> AsyncGenerator[sse.Event | None]:
        try:
            yield None
            if opened:
                yield DELTA
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("settled")

    async def main() -> None:
        frames = sse.encode_all(endless(), "r")
        if opened:
            await anext(frames)
            await frames.aclose()
        else:
            opening = asyncio.ensure_future(anext(frames))
            await asyncio.sleep(0.01)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
        assert ended == ["settled"]

    asyncio.run(main())
