"""Responses that stream server-sent events."""

from collections.abc import AsyncGenerator

from django.http import StreamingHttpResponse


class EventStream(StreamingHttpResponse):
    """Server-sent events. Hands Django the generator itself, which it then closes when the client leaves."""

    def __init__(self, events: AsyncGenerator[bytes], headers: dict[str, str]) -> None:
        self._events = events
        own = {"X-Accel-Buffering": "no", "Content-Type": "text/event-stream; charset=utf-8"}
        super().__init__(events, headers=own | headers)

    def __aiter__(self) -> AsyncGenerator[bytes]:
        return self._events
