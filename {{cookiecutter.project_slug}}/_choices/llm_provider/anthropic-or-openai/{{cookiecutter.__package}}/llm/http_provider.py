"""A provider whose API streams JSON as server-sent events."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from .answers import parsed
from .event_stream import DONE, EventParser, data_of
from .provider import Finish, Item, ProviderError, RawAnswer, Request, Stream
from .vendor import Vendor

DRAIN_S = 0.1
END = Finish()
"""Without a reason: nothing follows."""


@dataclass(frozen=True)
class HttpProvider:
    """Streams even what the caller wants in one piece, so that it is known what came when the vendor fails.

    `body_of` writes a request's body, `items_of` reads an event's JSON.
    """

    vendor: Vendor
    path: str
    body_of: Callable[[Request], dict[str, Any]]
    items_of: Callable[[Any], Iterator[Item]]

    async def stream(self, request: Request, sent: Callable[[], object], *, paced: bool) -> Stream:  # noqa: ARG002
        """Stream the answer. What fails after its end is no failure."""
        finished = over = False
        body = json.dumps(self.body_of(request)).encode()
        try:
            async with self.vendor.ask("POST", self.path, body, sent=sent) as response:
                if response.status >= 300:
                    raise await self.vendor.failure(response)
                async with aclosing(datas_of(response)) as datas:
                    async for data in datas:
                        for item in (END,) if data == DONE else self.items_of(parsed(data)):
                            finished, over = finished or isinstance(item, Finish), over or item == END
                            yield item
                        if over:
                            break
                    with suppress(TimeoutError):  # read to the end, so that the connection can be used again
                        async with asyncio.timeout(DRAIN_S):
                            await anext(datas, None)
        except ProviderError as error:
            if not finished or error.kind not in ("timeout", "broken_off"):
                raise
        if not finished:
            raise ProviderError("broken_off", "the stream of the model provider ended early")

    async def aclose(self) -> None:
        await self.vendor.aclose()


async def datas_of(response: RawAnswer) -> AsyncGenerator[bytes]:
    """Yield the data of each event, or an answer that is no stream. Raise ProviderError."""
    if response.content_type.endswith("json"):
        yield await response.read()
        return
    parser = EventParser()
    async for chunk in response.content.iter_any():
        for event in parser.feed(chunk):
            if data := data_of(event):
                yield data
    rest = data_of(parser.rest)
    if rest.endswith((b"}", DONE)):
        yield rest
