"""Handlers of a stand-in for the vendor's API, and what a call of it yields."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from {{ cookiecutter.__package }}.llm.provider import Provider, ProviderError, Request

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def streaming(*events: bytes, then: Handler | None = None) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            await response.write(event)
        return await then(request) if then else response

    return handler


def answering(body: object, status: int = 200) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status)

    return handler


async def hang(_: web.Request) -> web.StreamResponse:
    return await asyncio.Future()


async def disconnect(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def outcome(one: Provider, request: Request, *, stream: bool) -> AsyncIterator[object]:
    """Yield the items of one call, and the ProviderError that ends it, if any."""
    try:
        if not stream:
            yield await one.complete(request)
            return
        async for item in one.stream(request):
            yield item
    except ProviderError as error:
        yield error
