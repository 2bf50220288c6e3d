"""A provider whose API streams JSON as server-sent events."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

import aiohttp

from .event_stream import MAX_EVENT_BYTES, EventParser, data_of
from .provider import Finish, Item, ProviderError, Request, Stream
from .vendor import Vendor

MAX_DETAIL = 1_000
"""Characters of a vendor's message that callers get."""
DONE = b"[DONE]"


class HttpProvider:
    """Streams even what the caller wants in one piece, so that it is known what came when the vendor fails.

    `body_of` writes a request's body, `items_of` reads an event's JSON.
    """

    def __init__(
        self,
        vendor: Vendor,
        path: str,
        body_of: Callable[[Request], dict[str, Any]],
        items_of: Callable[[Any], Iterator[Item]],
    ) -> None:
        self._vendor = vendor
        self._path = path
        self._body_of = body_of
        self._items_of = items_of

    async def stream(self, request: Request, sent: Callable[[], object]) -> Stream:
        finished = False
        try:
            body = json.dumps(self._body_of(request)).encode()
            async with self._vendor.ask("POST", self._path, body, sent=sent) as response:
                if response.status >= 300:
                    raise await failure(response)
                async for data in datas(response):
                    for item in self._items_of(parsed(data)) if data != DONE else (Finish(),):
                        finished = finished or isinstance(item, Finish)
                        yield item
                    if data == DONE:
                        return
        except ProviderError as error:
            if not (finished and error.kind in ("timeout", "broken_off")):
                raise
        if not finished:
            raise ProviderError("broken_off", "the model provider's stream ended early")

    async def aclose(self) -> None:
        await self._vendor.aclose()


async def datas(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield the data of each event, or a whole answer of another content type. Raise ProviderError."""
    parser = EventParser()
    if response.content_type != "text/event-stream":
        yield await body_of(response)
        return
    async for chunk in response.content.iter_any():
        for event in parser.feed(chunk):
            if data := data_of(event):
                yield data
    if data := data_of(parser.rest):
        yield data


def parsed(data: bytes) -> Any:
    """Return JSON. Half an emoji is accepted. Raise ProviderError."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ProviderError("failed", "unreadable answer of the model provider") from None


async def body_of(response: aiohttp.ClientResponse) -> bytes:
    """Read a whole answer. Raise ProviderError."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_EVENT_BYTES:
            raise ProviderError("failed", "an answer of the model provider is too large")
    return bytes(body)
