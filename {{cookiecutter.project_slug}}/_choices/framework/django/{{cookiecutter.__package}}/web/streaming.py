"""Responses that stream server-sent events."""

from collections.abc import AsyncGenerator

from django.http import StreamingHttpResponse


class EventStream(StreamingHttpResponse):
    """Server-sent events. Hands Django the generator itself, which it then closes when the client leaves."""

    def __init__(self, events: AsyncGenerator[bytes], headers: dict[str, str]) -> None:
        self._events = events
        headers = {"X-Accel-Buffering": "no", **headers}
        super().__init__(events, content_type="text/event-stream; charset=utf-8", headers=headers)

    def __aiter__(self) -> AsyncGenerator[bytes]:
        return self._events
