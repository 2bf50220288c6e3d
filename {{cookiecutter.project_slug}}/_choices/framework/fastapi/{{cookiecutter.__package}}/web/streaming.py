"""Responses that stream server-sent events."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .sse import Frames

T = TypeVar("T")


class EventStream(Response):
    """Server-sent events, sent by the task that makes them. Ends it if the client leaves."""

    media_type = "text/event-stream"

    def __init__(self, frames: Frames, headers: dict[str, str]) -> None:
        self._frames = frames
        self.status_code, self.background = 200, None
        self.init_headers({"X-Accel-Buffering": "no"} | headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await unless_left(receive, self._frames.send_to(send))


async def unless_left(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """Run `work`. If the client leaves meanwhile, cancel it and return None."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        working.cancel()
        await asyncio.wait([working])
    return None if working.cancelled() else working.result()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
