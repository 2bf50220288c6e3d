"""A provider whose API streams JSON as server-sent events."""

import json
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from .answers import parsed
from .event_stream import DONE, EventParser, data_of
from .provider import Answer, Finish, Item, ProviderError, Request, Stream, Vendor, check_size


@dataclass(frozen=True)
class HttpProvider:
    """Asks a vendor. `body_of` writes a request's body, `items_of` reads an event's JSON.

    `streams_all`: stream even what the caller wants in one piece, so that it is known what came when the vendor fails.
    """

    vendor: Vendor
    path: str
    body_of: Callable[[Request], dict[str, Any]]
    items_of: Callable[[Any], Iterator[Item]]
    streams_all: bool = True

    async def stream(self, request: Request, sent: Callable[[], object], *, paced: bool) -> Stream:
        """Stream the answer. What fails after its end is no failure."""
        ended: Finish | None = None
        body = json.dumps({**self.body_of(request), "stream": paced or self.streams_all}).encode()
        try:
            async with self.vendor.ask(self.path, body, sent=sent) as answer, aclosing(datas_of(answer)) as datas:
                async for data in datas:
                    for item in (Finish(),) if data == DONE else self.items_of(parsed(data)):
                        ended = item if isinstance(item, Finish) else ended
                        yield item
                    if ended == Finish():
                        break
                await answer.drain()
        except ProviderError as error:
            if not ended or error.kind not in ("timeout", "broken_off"):
                raise
        if not ended:
            raise ProviderError("broken_off", "the stream of the model provider ended early")


async def datas_of(answer: Answer) -> AsyncGenerator[bytes]:
    """Yield the data of each event, or an answer that is no stream. Raise ProviderError."""
    if answer.is_whole:
        yield await answer.read()
        return
    parser, size = EventParser(), 0
    async for chunk in answer.chunks:
        check_size(size := size + len(chunk))
        for _, data in parser.feed(chunk):
            if data:
                yield data
    rest = data_of(parser.rest)
    if rest.endswith((b"}", DONE)):
        yield rest
