"""A provider whose API streams JSON as server-sent events."""

import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from typing import Any

import aiohttp

from .answers import unreadable
from .event_stream import EventParser, data_of
from .provider import Finish, Item, ProviderError, Request, Stream
from .vendor import Vendor, read

DONE = b"[DONE]"
END = Finish()
"""Without a reason: nothing follows."""


class HttpProvider:
    """Streams even what the caller wants in one piece, so that it is known what came when the vendor fails.

    `body_of` writes a request's body, `items_of` reads an event's JSON.
    """

    def __init__(
        self,
        vendor: Vendor,
        path: str,
        body_of: Callable[[Request], Mapping[str, Any]],
        items_of: Callable[[Any], Iterator[Item]],
    ) -> None:
        self._vendor = vendor
        self._path = path
        self._body_of = body_of
        self._items_of = items_of

    async def stream(self, request: Request, sent: Callable[[], object]) -> Stream:
        """Stream the answer. What fails after its end is no failure."""
        finished = over = False
        body = json.dumps(self._body_of(request)).encode()
        try:
            async with self._vendor.ask("POST", self._path, body, sent=sent) as response:
                if response.status >= 300:
                    raise await self._vendor.failure(response)
                async with aclosing(datas(response)) as events:
                    async for data in events:
                        for item in (END,) if data == DONE else self._items_of(parsed(data)):
                            finished, over = finished or isinstance(item, Finish), over or item == END
                            yield item
                        if over:
                            return
        except ProviderError as error:
            if not finished or error.kind not in ("timeout", "broken_off"):
                raise
        if not finished:
            raise ProviderError("broken_off", "the stream of the model provider ended early")

    async def aclose(self) -> None:
        await self._vendor.aclose()


async def datas(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    """Yield the data of each event, or an answer that is no stream. Raise ProviderError."""
    if response.content_type.endswith("json"):
        yield await read(response)
        return
    parser = EventParser()
    async for chunk in response.content.iter_any():
        for event in parser.feed(chunk):
            if data := data_of(event):
                yield data
    rest = data_of(parser.rest)
    if rest.endswith((b"}", DONE)):
        yield rest


def parsed(data: bytes) -> Any:
    """Return JSON, which may hold half an emoji. Raise ProviderError."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise unreadable() from None
