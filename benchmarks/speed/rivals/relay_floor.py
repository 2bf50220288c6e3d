"""The least a relay of a stream can do with aiohttp: bytes in, bytes out. No tenants, budget, reading or metering."""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp

session: aiohttp.ClientSession | None = None
Receive, Send = Callable[[], Awaitable[dict[str, Any]]], Callable[[dict[str, Any]], Awaitable[None]]


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    global session  # noqa: PLW0603
    if scope["type"] != "http":
        return
    session = session or aiohttp.ClientSession()
    body = (await receive())["body"]
    headers = {"Content-Type": "application/json"}
    async with session.post(f"{os.environ['VENDOR_URL']}/v1/chat/completions", data=body, headers=headers) as answer:
        kind = answer.headers["Content-Type"].encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        async for chunk in answer.content.iter_any():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
