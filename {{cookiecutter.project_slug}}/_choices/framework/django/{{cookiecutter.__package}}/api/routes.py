"""Routes of the provider's own API."""

from collections.abc import Awaitable, Callable
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from ninja import Router

from ..core.problems import Problem
from ..web.dependencies import ApiRequest, headers_of, identified, paid, services_of
from ..web.handlers import request_id_of
from ..web.openapi import PROVIDERS, PROVIDERS_FREE
from ..web.streaming import EventStream
from . import dialect
from .endpoint import Endpoint
from .reading import read
from .relay import Relay

router = Router(auth=identified, tags=["provider's API"])


def serve(endpoint: Endpoint) -> Callable[[ApiRequest], Awaitable[HttpResponseBase]]:
    """Return the route of an endpoint."""

    async def call(request: ApiRequest) -> HttpResponseBase:
        """Relay a call to the provider."""
        services, query = services_of(request), request.META["QUERY_STRING"]
        about = (headers_of(request), query, request_id_of(request))
        asked = read(endpoint, services.settings, request.auth, request.body, *about)
        reply = await Relay(services).answer(asked)
        if isinstance(reply.body, bytes):
            return HttpResponse(reply.body, headers=reply.headers)
        return EventStream(reply.body, headers=reply.headers)

    call.__name__ = endpoint.path[1:].replace("/", "_")
    return call


for each in dialect.ENDPOINTS:
    router.add_api_operation(
        each.path,
        ["POST"],
        serve(each),
        auth=identified if each.is_free else paid,
        openapi_extra={"responses": PROVIDERS},
    )


@router.get("/models", openapi_extra={"responses": PROVIDERS_FREE})
async def models(request: ApiRequest) -> dict[str, Any]:
    """List the models that a call may ask for."""
    return dialect.models_of(services_of(request).settings.models)


@router.get("/models/{path:model}", openapi_extra={"responses": PROVIDERS_FREE})
async def model(request: ApiRequest, model: str) -> dict[str, Any]:
    """Return a model that a call may ask for."""
    if model not in services_of(request).settings.models:
        raise Problem("not_found")
    return dialect.model_of(model)
