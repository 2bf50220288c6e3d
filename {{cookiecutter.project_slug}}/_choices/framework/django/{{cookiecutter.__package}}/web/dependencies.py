"""What routes depend on: the process's services and the caller."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from ..core.problems import Problem
from ..tenants.caller import Caller
from . import sync
from .services import Services

T = TypeVar("T")


class ApiRequest(ASGIRequest):
    """The request of a route with `auth=identified` or `auth=paid`."""

    auth: Caller


def state_of(request: HttpRequest) -> dict[str, Any]:
    """Return the request's `scope["state"]`, see asgi.py and edge.Edge. It is empty under WSGI."""
    state: dict[str, Any] = getattr(request, "scope", {}).get("state", {})
    return state


def services_of(request: HttpRequest) -> Services:
    """Return the process's services. Raise RuntimeError if the server does not run the lifespan."""
    services: Services | None = state_of(request).get("services")
    if services is None:
        raise RuntimeError("This server lacks ASGI's lifespan, like runserver and WSGI servers. Run `serve` instead.")
    return services


async def identified(request: HttpRequest) -> Caller:
    """Return the authenticated caller, as `auth=` of a route. Raise Problem (401, 403, 422)."""
    headers = headers_of(request)
    return await _with_services(request, lambda services: services.identity.identify(headers))


async def paid(request: HttpRequest) -> Caller:
    """Return the caller of a paid route, as its `auth=`: ninja calls it before it reads the body. Raise Problem."""
    caller = await identified(request)
    if request.content_type != "application/json":
        raise Problem("unsupported_media_type")
    await _with_services(request, lambda services: services.preflight.check(caller.tenant))
    return caller


async def _with_services(request: HttpRequest, work: Callable[[Services], Awaitable[T]]) -> T:
    """Run `work` here or, under WSGI, in the event loop of `sync`: there each request has a loop of its own."""
    services: Services | None = state_of(request).get("services")
    return await work(services) if services else sync.call(work)


def headers_of(request: HttpRequest) -> list[tuple[bytes, bytes]]:
    """Return the headers as ASGI has them: Django joins repeated ones, and the edge hides the gateway's secret."""
    sent: list[tuple[bytes, bytes]] | None = state_of(request).get("sent_headers")
    if sent is not None:
        return sent
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in request.headers.items()]
