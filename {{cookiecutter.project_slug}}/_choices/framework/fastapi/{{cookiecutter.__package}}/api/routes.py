"""Routes of the provider's own API."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from ..core.problems import Problem
from ..web.dependencies import GuardedRoute, services_of, tenant_of
from ..web.openapi import PROVIDERS, PROVIDERS_FREE
from ..web.streaming import EventStream, unless_left
from . import dialect
from .endpoint import Endpoint
from .reading import read
from .relay import Relay

router = APIRouter(prefix="/v1", tags=["provider's API"])
paid = APIRouter(prefix="/v1", route_class=GuardedRoute, tags=["provider's API"])


def serve(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """Return the route of an endpoint."""

    async def call(request: Request) -> Response:
        """Relay a call to the provider."""
        services, tenant = services_of(request), await tenant_of(request)
        sent, about = await request.body(), (request.state.sent_headers, request.url.query, request.state.request_id)
        asked = read(endpoint, services.settings, tenant, sent, *about)
        answer = Relay(services).answer(asked)
        reply = await (unless_left(request.receive, answer) if asked.body.get("stream") else answer)
        if reply is None:
            return Response()  # nobody reads it
        if isinstance(reply.body, bytes):
            return Response(reply.body, headers=reply.headers)
        return EventStream(reply.body, headers=reply.headers)

    call.__name__ = endpoint.path[1:].replace("/", "_")
    return call


for each in dialect.ENDPOINTS:
    (router if each.is_free else paid).add_api_route(each.path, serve(each), methods=["POST"], responses=PROVIDERS)


@router.get("/models", responses=PROVIDERS_FREE)
async def models(request: Request) -> JSONResponse:
    """List the models that a call may ask for."""
    await tenant_of(request)
    return JSONResponse(dialect.models_of(services_of(request).settings.models))


@router.get("/models/{model:path}", responses=PROVIDERS_FREE)
async def model(model: str, request: Request) -> JSONResponse:
    """Return a model that a call may ask for."""
    await tenant_of(request)
    if model not in services_of(request).settings.models:
        raise Problem("not_found")
    return JSONResponse(dialect.model_of(model))
