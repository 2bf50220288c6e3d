"""Responses that stream server-sent events."""

from typing import Any

from django.http.response import HttpResponseBase

from .sse import Frames


class EventStream(HttpResponseBase):
    """Server-sent events, sent by the task that makes them."""

    streaming = True

    def __init__(self, frames: Frames, headers: dict[str, str]) -> None:
        self._frames = frames
        own = {"X-Accel-Buffering": "no", "Content-Type": "text/event-stream; charset=utf-8"}
        super().__init__(headers=own | headers)

    async def send_to(self, send: Any) -> None:
        """Send the whole response."""
        headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in self.items()]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await self._frames.send_to(send)
