"""What routes need: the shared services, and the caller's tenant."""

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from ..core.problems import Problem
from .services import Services


def services_of(request: Request) -> Services:
    services: Services = request.state.services
    return services


async def tenant_of(request: Request) -> str:
    """Return the ID of the caller's tenant. Raise Problem (401, 403, 422)."""
    tenant: str | None = getattr(request.state, "tenant", None)
    if tenant is None:
        tenant = request.state.tenant = await services_of(request).identity.identify(request.state.sent_headers)
    return tenant


class GuardedRoute(APIRoute):
    """A paid route: authentication and preflight run before the body is read.

    Use it as `APIRouter(route_class=GuardedRoute)`. A dependency would run after the body is read.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in (self.methods or ()):
            request = Request(scope)
            tenant = await tenant_of(request)
            _require_json(request)
            await services_of(request).guard.preflight(tenant)
        await super().handle(scope, receive, send)


def _require_json(request: Request) -> None:
    content_type = ",".join(request.headers.getlist("content-type"))
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Problem("unsupported_media_type")
