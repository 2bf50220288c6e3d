"""Server-sent events."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from ..core.problems import Problem

Event = tuple[str, dict[str, Any]]
"""Name and data."""


def encode(event: Event) -> bytes:
    name, data = event
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


async def encode_all(
    first: Event, rest: AsyncGenerator[tuple[Event, object]], request_id: str
) -> AsyncGenerator[bytes]:
    """Encode events. A Problem becomes an `error` event. Closes `rest`."""
    async with aclosing(rest):
        try:
            yield encode(first)
            async for event, _ in rest:
                yield encode(event)
        except Problem as problem:
            yield encode(("error", problem.body(request_id)))
