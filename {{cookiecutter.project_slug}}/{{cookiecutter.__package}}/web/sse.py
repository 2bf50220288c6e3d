"""Streams of server-sent events."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Self

from ..core.problems import Problem
from .edge import Message, Send

FIRST_S = 5.0
"""How long the response waits for its first event, so that a failure until then has a status of its own."""
PING_S = 15.0
"""How often a stream is pinged, which may be silent: proxies close idle connections."""
PING = b": ping\n\n"
AHEAD = 8
"""Frames made while the response is set up: what aiohttp has not handed over is lost if the vendor hangs up."""


class Frames:
    """A stream of `frames`. A task of its own makes and sends them, which a stopping process can cancel.

    `failed` returns the frame for a Problem after the start. They are pinged every `ping_s`.
    """

    def __init__(
        self, frames: AsyncGenerator[bytes], failed: Callable[[Problem], bytes], ping_s: float | None = None
    ) -> None:
        self._failed = failed
        self._ping_s = ping_s
        self._stages = asyncio.Future[None](), asyncio.Future[None]()
        self._early: deque[bytes] = deque()
        self._sender = asyncio.Future[Send]()
        self._task = asyncio.create_task(self._run(frames))

    async def open(self, first_s: float | None = None) -> Self:
        """Wait for an empty frame, then at most `first_s` for another, or ping. Raise what fails until then."""
        try:
            for stage, patience in zip(self._stages, (None, first_s), strict=True):
                done, _ = await asyncio.wait([self._task, stage], timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    self._early.append(PING)
                if self._task.done():
                    self._check()
        except BaseException:
            await self._end()
            raise
        return self

    async def send_to(self, send: Send) -> None:
        """Send the frames as the body of an ASGI response, to the end. If this is cancelled, so is their maker."""
        try:
            while self._early:
                await send(_body(self._early.popleft()))
            self._sender.set_result(send)
            while not (await asyncio.wait([self._task], timeout=self._ping_s))[0]:
                await send(_body(PING))
            self._check()
        except Problem as problem:
            await send(_body(self._failed(problem)))
        finally:
            await self._end()
        await send({"type": "http.response.body", "body": b""})

    async def _run(self, frames: AsyncGenerator[bytes]) -> None:
        stages, send = [*self._stages], None
        async with aclosing(frames):
            async for frame in frames:
                if stages:
                    stages.pop(0).set_result(None)
                if self._sender.done() or len(self._early) == AHEAD:
                    send = send or await self._sender
                    await send(_body(frame))
                else:
                    self._early.append(frame)

    def _check(self) -> None:
        """Raise what failed."""
        if self._task.cancelled():
            raise Problem("shutting_down")
        self._task.result()

    async def _end(self) -> None:
        """Cancel what still runs, and wait until its call is settled."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def open_events(events: AsyncGenerator[bytes], request_id: str) -> Frames:
    """Open a stream of encoded events: see `Frames`. A Problem after the start becomes an `error` event."""
    return await Frames(events, lambda problem: encode("error", problem.body(request_id)), PING_S).open(FIRST_S)


def encode(name: str, data: dict[str, Any]) -> bytes:
    """Return an event."""
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _body(frame: bytes) -> Message:
    return {"type": "http.response.body", "body": frame, "more_body": True}
