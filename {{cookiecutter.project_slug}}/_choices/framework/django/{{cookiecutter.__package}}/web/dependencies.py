"""What routes depend on: the process's services and the caller's tenant."""

from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from ..core.problems import Problem
from .services import Services


class ApiRequest(ASGIRequest):
    """The request of a route with `auth=identified` or `auth=paid`."""

    auth: str
    """The ID of the caller's tenant."""


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


async def identified(request: HttpRequest) -> str:
    """Return the ID of the caller's tenant, as `auth=` of a route. Raise Problem (401, 403, 422)."""
    services_of(request)  # raises if no lifespan has opened them
    return await tenant_of(state_of(request))


async def tenant_of(state: dict[str, Any]) -> str:
    """Return the ID of the caller's tenant, identified once per request. Raise Problem (401, 403, 422)."""
    if "tenant" not in state:
        state["tenant"] = await state["services"].identity.identify(state["sent_headers"])
    return str(state["tenant"])


async def paid(request: HttpRequest) -> str:
    """Return the tenant of a paid route, as its `auth=`: ninja calls it before it reads the body. Raise Problem."""
    tenant = await identified(request)
    if request.content_type != "application/json":
        raise Problem("unsupported_media_type")
    await services_of(request).guard.preflight(tenant)
    return tenant


def headers_of(request: HttpRequest) -> list[tuple[bytes, bytes]]:
    """Return the headers as sent: Django joins repeated ones, and the edge hides the gateway's secret."""
    headers: list[tuple[bytes, bytes]] = state_of(request)["sent_headers"]
    return headers
