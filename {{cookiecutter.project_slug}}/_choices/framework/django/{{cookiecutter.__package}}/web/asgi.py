"""Django's ASGI handler with the lifespan protocol and a fast path for the API."""

import asyncio
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, closing, suppress
from typing import Any

from asgiref.sync import iscoroutinefunction
from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished
from django.http.response import HttpResponseBase
from django.urls import Resolver404, ResolverMatch, resolve

from .middleware import problems


class Handler(ASGIHandler):
    """`lifespan` yields what requests find in `scope["state"]`."""

    def __init__(self, lifespan: Callable[[], AbstractAsyncContextManager[Mapping[str, object]]]) -> None:
        super().__init__()
        self._lifespan = lifespan
        answer = problems(_call_route)
        self._answer: Any = CorsMiddleware(answer) if settings.CORS_ALLOWED_ORIGINS else answer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(scope, receive, send)
        elif route := _api_route(scope["path"]):
            await self._serve_api({**scope, "route": route}, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _run_lifespan(self, scope: Any, receive: Any, send: Any) -> None:
        phase = "startup"
        try:
            await receive()
            async with self._lifespan() as state:
                scope["state"].update(state)
                await send({"type": "lifespan.startup.complete"})
                phase = "shutdown"
                await receive()
            await send({"type": "lifespan.shutdown.complete"})
        except Exception:
            await send({"type": f"lifespan.{phase}.failed", "message": traceback.format_exc()})
            raise

    async def _serve_api(self, scope: Any, receive: Any, send: Any) -> None:
        """Do what Django does, but for its thread per request, `request_started` and the middleware of pages.

        Sessions, CSRF tokens and messages cost a thread hop each, two thirds of the throughput, and the API uses none.
        """
        try:
            body = await self.read_body(receive)
        except RequestAborted:
            return
        with closing(body):
            request, response = self.create_request(scope, body)
            try:
                async with asyncio.TaskGroup() as tasks:
                    listener = tasks.create_task(self.listen_for_disconnect(receive))
                    await self.send_response(response or await self._answer(request), send)
                    listener.cancel()
            except* RequestAborted:
                pass
            await request_finished.asend(sender=type(self))


def _api_route(path: str) -> ResolverMatch | None:
    """Return the API's asynchronous route for a path. Django runs the synchronous ones in a thread per request."""
    with suppress(Resolver404):
        route = resolve(path)
        if "ninja" in route.app_names and iscoroutinefunction(route.func):
            return route
    return None


async def _call_route(request: Any) -> HttpResponseBase:
    route = request.resolver_match = request.scope["route"]
    response: HttpResponseBase = await route.func(request, **route.kwargs)
    return response
