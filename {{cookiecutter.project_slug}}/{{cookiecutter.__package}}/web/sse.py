"""Server-sent events."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, nullcontext
from functools import partial
from typing import Any

from ..core.problems import Problem

FIRST_S = 5.0
"""How long the response waits for its first event, so that a failure until then has a status of its own."""
SILENCE_S = 15.0
"""How often a silent stream is pinged: proxies close idle connections."""
PING = b": ping\n\n"
AHEAD = 8
"""Events that may wait for a slow reader."""

Event = tuple[str, dict[str, Any]]
"""Name and data."""


def encode(event: Event) -> bytes:
    name, data = event
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def encode_all(events: AsyncGenerator[Event | None], request_id: str) -> AsyncGenerator[bytes]:
    """Encode events as they come, with pings in between: see `pumped`. None before the first event encodes to nothing.

    A Problem after the start becomes an `error` event.
    """
    failed = partial(_error_event, request_id)
    return pumped(_encoded(events), failed, FIRST_S, SILENCE_S)


async def pumped(
    frames: AsyncGenerator[bytes],
    failed: Callable[[Problem], bytes],
    first_s: float | None = None,
    silence_s: float | None = None,
) -> AsyncGenerator[bytes]:
    """Run `frames` in a task of its own, which a stopping process can cancel. Close it at any end.

    The first `anext` returns nothing: it waits for an empty frame, then at most `first_s` for another, and raises what
    fails until then. A Problem afterwards becomes the frame that `failed` returns. Silence longer than `silence_s` is
    filled with pings.
    """
    queue: asyncio.Queue[bytes | Exception] = asyncio.Queue(AHEAD)
    task = asyncio.create_task(_fill(queue, frames))
    is_open = False
    try:
        await _next(queue, None)
        frame = await _next(queue, first_s)
        yield b""
        is_open = True
        while frame:
            yield frame
            frame = await _next(queue, silence_s)
    except Problem as problem:
        if not is_open:
            raise
        yield failed(problem)
    finally:
        task.cancel()
        await asyncio.wait([task])


def _error_event(request_id: str, problem: Problem) -> bytes:
    return encode(("error", problem.body(request_id)))


async def _encoded(events: AsyncGenerator[Event | None]) -> AsyncGenerator[bytes]:
    async with aclosing(events):
        async for event in events:
            yield encode(event) if event else b""


async def _fill(queue: "asyncio.Queue[bytes | Exception]", frames: AsyncGenerator[bytes]) -> None:
    """Put frames in the queue, at the end nothing or what failed."""
    try:
        async with aclosing(frames):
            async for frame in frames:
                await queue.put(frame)
        await queue.put(b"")
    except Exception as error:  # noqa: BLE001  (raised where the queue is read)
        await queue.put(error)
    except asyncio.CancelledError:  # by a stopping process, or nobody reads any more
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(Problem("shutting_down"))


async def _next(queue: "asyncio.Queue[bytes | Exception]", patience: float | None) -> bytes:
    """Return the next of the queue, or a ping after `patience` seconds. Raise what failed."""
    try:
        async with asyncio.timeout(patience) if patience else nullcontext():
            item = await queue.get()
    except TimeoutError:
        return PING
    if isinstance(item, Exception):
        raise item
    return item
