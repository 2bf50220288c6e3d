"""What routes ask for: the shared services, and who is calling.

A router's or route's `auth=` is its mark: ninja calls it before it looks at the body.
"""

from collections import deque
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from ..core.problems import Problem
from ..tenants.caller import Caller
from ..tenants.identity import Identity
from ..tenants.registry import Registry
from .services import Services

idle_identities: deque[Identity] = deque()
"""Where there is no lifespan each call has an event loop of its own: one at a time is lent an identity, which keeps
what it knows (the issuer's keys) for the next."""


class ApiRequest(ASGIRequest):
    """A request as a route sees it that has `auth=identified` or `auth=paid`."""

    auth: Caller


def services_of(request: HttpRequest) -> Services:
    """Raises RuntimeError where no lifespan has opened them: `runserver` and WSGI servers speak none."""
    services: Services | None = state_of(request).get("services")
    if services is None:
        raise RuntimeError("no services: serve by `serve`, or by another ASGI server that speaks the lifespan protocol")
    return services


def state_of(request: HttpRequest) -> dict[str, Any]:
    """This request's part of the process's state, see lifespan.State and edge.Edge; empty under WSGI."""
    state: dict[str, Any] = getattr(request, "scope", {}).get("state", {})
    return state


async def identified(request: HttpRequest) -> Caller:
    """`auth=` of a route for tenants: the proven caller. Raises Problem (401, 403, 422)."""
    services: Services | None = state_of(request).get("services")
    if services:
        return await services.identity.identify(headers_of(request))
    try:
        identity = idle_identities.pop()
    except IndexError:
        identity = Identity(Registry(), settings.ENV)
    try:
        return await identity.identify(headers_of(request))
    finally:
        idle_identities.append(identity)


async def paid(request: HttpRequest) -> Caller:
    """`auth=` of a route whose work is paid for: identity, then JSON, then preflight. Raises Problem."""
    caller = await identified(request)
    if request.content_type != "application/json":
        raise Problem("unsupported_media_type")
    if services := state_of(request).get("services"):
        await services.preflight.check(caller.tenant)
    return caller


def headers_of(request: HttpRequest) -> list[tuple[bytes, bytes]]:
    """As ASGI hands them over, see edge.Edge. Django's own joins repeated ones, and under WSGI there are no others."""
    sent: list[tuple[bytes, bytes]] | None = state_of(request).get("sent_headers")
    if sent is not None:
        return sent
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in request.headers.items()]
