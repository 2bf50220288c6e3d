"""What the demo provider plays of a vendor's API: answers as aiohttp has them."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from .provider import Delta, Finish, ProviderError, RawAnswer, Stream, Usage


class Played:
    """The demo provider's text as it comes. The rest is known after `texts`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.text = ""
        self.reason = "stop"
        self.tokens = (0, 0)

    async def texts(self) -> AsyncIterator[str]:
        async for item in self._stream:
            match item:
                case Delta():
                    self.text += item.text
                    yield item.text
                case Finish():
                    self.reason = item.reason or self.reason
                case Usage():
                    self.tokens = (item.input_tokens or 0, item.output_tokens or 0)


class DemoAnswer:
    """A whole `body`, or `events`: JSON, or bytes as they are."""

    status = 200

    def __init__(self, body: Any = None, events: AsyncGenerator[Any] | None = None) -> None:
        self._body = body
        self._events = events
        self.content_type = "application/json" if events is None else "text/event-stream"
        self.headers: Mapping[str, str] = {"Content-Type": self.content_type}

    @property
    def content(self) -> "DemoAnswer":
        return self

    async def read(self) -> bytes:
        return json.dumps(self._body).encode()

    async def iter_any(self) -> AsyncIterator[bytes]:
        assert self._events is not None  # noqa: S101
        async for event in self._events:
            data = event if isinstance(event, bytes) else json.dumps(event).encode()
            name = f"event: {event['type']}\n".encode() if isinstance(event, dict) and "type" in event else b""
            yield name + b"data: " + data + b"\n\n"


def refusal(response: RawAnswer) -> ProviderError:
    """Return the error for an answer that is none. The demo provider refuses nothing."""
    return ProviderError("failed", f"HTTP {response.status}", answered=True)
