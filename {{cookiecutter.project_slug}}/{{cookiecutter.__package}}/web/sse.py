"""Server-sent events."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
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


async def encode_all(events: AsyncGenerator[Event | None], request_id: str) -> AsyncGenerator[bytes]:
    """Encode events as they come, with pings in between. Close `events` at any end.

    The first `anext` returns nothing: it waits for None from `events`, then at most FIRST_S for an event, and raises
    what fails until then. A Problem afterwards becomes an `error` event.
    """
    queue: asyncio.Queue[bytes | Exception] = asyncio.Queue(AHEAD)
    task = asyncio.create_task(_fill(queue, events))
    is_open = False
    try:
        await _next(queue, None)
        frame = await _next(queue, FIRST_S)
        yield b""
        is_open = True
        while frame:
            yield frame
            frame = await _next(queue, SILENCE_S)
    except Problem as problem:
        if not is_open:
            raise
        yield encode(("error", problem.body(request_id)))
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _fill(queue: "asyncio.Queue[bytes | Exception]", events: AsyncGenerator[Event | None]) -> None:
    """Put encoded events in the queue, at the end nothing or what failed."""
    try:
        async with aclosing(events):
            async for event in events:
                await queue.put(encode(event) if event else b"")
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
        async with asyncio.timeout(patience):
            item = await queue.get()
    except TimeoutError:
        return PING
    if isinstance(item, Exception):
        raise item
    return item
