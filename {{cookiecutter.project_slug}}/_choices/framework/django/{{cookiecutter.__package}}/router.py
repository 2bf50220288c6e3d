"""The API: routers, error handlers, OpenAPI."""

from typing import Any

from django.conf import settings
from ninja import NinjaAPI

from .api import routes as api_routes
from .chat import routes as chat_routes
from .core import about
from .web import budget as budget_routes
from .web import health
from .web.handlers import add_exception_handlers
from .web.openapi import described


class Api(NinjaAPI):
    def get_content_type(self) -> str:
        return "application/json"  # has no charset (RFC 8259)

    def get_openapi_schema(self, **kwargs: Any) -> Any:
        # without ROOT_PATH, which `servers` has
        return described(super().get_openapi_schema(**kwargs, path_prefix=""))

    def get_openapi_operation_id(self, operation: Any) -> str:
        return str(operation.view_func.__name__)


api = Api(
    title=about.TITLE,
    version="0.1.0",
    description=about.DESCRIPTION,
    servers=[{"url": settings.ENV.root_path or "/"}],
    openapi_url="/openapi.json" if settings.ENV.development else None,
    docs_url="/docs" if settings.ENV.development else None,
)
add_exception_handlers(api)
api.add_router("/api", chat_routes.router)
api.add_router("/v1", api_routes.router)
api.add_router("/api/budget", budget_routes.router)
api.add_router("", health.router)
