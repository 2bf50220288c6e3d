"""What routes ask for: the shared services, and who is calling."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from ..core.problems import Problem
from ..tenants.caller import Caller
from .services import Services


def services_of(request: Request) -> Services:
    services: Services = request.state.services
    return services


async def shared_services(request: Request) -> Services:
    """As `services_of`; async, for FastAPI hands a plain function to a thread on every request."""
    return services_of(request)


async def caller_of(request: Request) -> Caller:
    """The proven caller, found out once per request. Raises Problem (401, 403, 422)."""
    state = request.state
    caller: Caller | None = getattr(state, "caller", None)
    if caller is None:
        caller = state.caller = await services_of(request).identity.identify(state.sent_headers)
    return caller


SharedServices = Annotated[Services, Depends(shared_services)]
CurrentCaller = Annotated[Caller, Depends(caller_of)]


class GuardedRoute(APIRoute):
    """A route whose work is paid for: identity and preflight come before anything of the body is read.

    Use it as `APIRouter(route_class=GuardedRoute)`. The route finds the caller in `request.state.caller`: another
    dependency would cost as much as the identity itself.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in (self.methods or ()):
            request = Request(scope)
            caller = await caller_of(request)
            _require_json(request)
            await services_of(request).preflight.check(caller.tenant)
        await super().handle(scope, receive, send)


def _require_json(request: Request) -> None:
    content_type = ",".join(request.headers.getlist("content-type"))
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Problem("unsupported_media_type")
