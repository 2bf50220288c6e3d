"""Django's ASGI handler with a fast path for the API."""

import asyncio
from contextlib import closing
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished
from django.urls import Resolver404, ResolverMatch, resolve

from ..core.problems import Problem
from ..tenants.headers import Headers
from .dependencies import tenant_of
from .edge import API
from .middleware import problems
from .streaming import EventStream


class Handler(ASGIHandler):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        route = _api_route(scope["path"])
        if scope["path"].startswith(API) and _has_body(scope["headers"]):  # no stranger makes us read one
            if route is None:
                raise Problem("not_found")
            await tenant_of(scope["state"])
        if route and iscoroutinefunction(route.func):
            await self._serve_api({**scope, "route": route}, receive, send)
        else:  # Django runs synchronous routes in a thread per request
            # with the ROOT_PATH that the edge has taken off, because Django takes it off too
            await super().__call__({**scope, "path": settings.ENV.root_path + scope["path"]}, receive, send)

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
                    response = response or await _answer(request)
                    if isinstance(response, EventStream):
                        await response.send_to(send)
                    else:
                        await self.send_response(response, send)
                    listener.cancel()
            except* RequestAborted:
                pass
            await request_finished.asend(sender=type(self))


def _has_body(headers: Headers) -> bool:
    return any(name in (b"content-length", b"transfer-encoding") and value != b"0" for name, value in headers)


def _api_route(path: str) -> ResolverMatch | None:
    """Return the route of an API path. Raise Problem not_found for a path without a first slash."""
    try:
        route = resolve(path)
    except Resolver404:
        raise Problem("not_found") from None
    return route if "ninja" in route.app_names else None


async def _call_route(request: Any) -> Any:
    route = request.resolver_match = request.scope["route"]
    return await route.func(request, **route.kwargs)


_answer: Any = problems(_call_route)
