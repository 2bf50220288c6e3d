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
AHEAD_BYTES = 2**16
"""Of events that may wait for a slow reader."""

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
    queue = _Queue()
    task = asyncio.create_task(queue.fill(events))
    is_open = False
    try:
        await queue.changed.wait()
        frames = await queue.take(FIRST_S) or _result(task)
        yield b""
        is_open = True
        while frames:
            yield frames
            frames = await queue.take(SILENCE_S) or _result(task)
    except Problem as problem:
        if not is_open:
            raise
        yield encode(("error", problem.body(request_id)))
    finally:
        task.cancel()
        await asyncio.wait([task])


class _Queue:
    """Encoded events between the task that makes them and the response that sends them."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self._taken = asyncio.Event()
        self._frames = bytearray()
        self._is_over = False

    async def fill(self, events: AsyncGenerator[Event | None]) -> None:
        try:
            async with aclosing(events):
                async for event in events:
                    self._frames += encode(event) if event else b""
                    self.changed.set()
                    if len(self._frames) > AHEAD_BYTES:
                        self._taken.clear()
                        await self._taken.wait()
        finally:
            self._is_over = True
            self.changed.set()

    async def take(self, patience: float) -> bytes:
        """Return what has come, a ping after `patience` seconds without any, nothing at the end."""
        if not self._frames and not self._is_over:
            self.changed.clear()
            try:
                async with asyncio.timeout(patience):
                    await self.changed.wait()
            except TimeoutError:
                return PING
        frames = bytes(self._frames)
        self._frames.clear()
        self._taken.set()
        return frames


def _result(task: asyncio.Task[None]) -> bytes:
    """Return nothing, or raise what ended the task."""
    if task.cancelled():
        raise Problem("shutting_down")
    task.result()
    return b""
