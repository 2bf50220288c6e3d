"""Application factory. A request passes: edge, sessions, route, identity, preflight, guard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from .api import routes as api_routes
from .calls.store import CallStore
from .chat import routes as chat_routes
from .core import about, tracing
from .core.config import Settings
from .core.database import Database
from .core.logging import set_up_logging
from .core.memory import limit_memory
from .dashboard import pages
from .dashboard import routes as dashboard_routes
from .dashboard.service import Dashboard
from .dashboard.store import DashboardStore
from .tenants.registry import Registry
from .web import budget as budget_routes
from .web import health
from .web.edge import CORS, Edge
from .web.handlers import add_exception_handlers
from .web.idempotency import Idempotency
from .web.openapi import described
from .web.services import Services
from .web.sessions import Sessions
from .web.startup import faults
from .web.store import AnswerStore


class Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        return self.openapi_schema or described(super().openapi())


@asynccontextmanager
async def lifespan(settings: Settings) -> AsyncIterator[dict[str, object]]:
    """Yield what routes find in `request.state`. Raise RuntimeError for settings that must not serve."""
    set_up_logging(development=settings.development)
    if found := faults(settings):
        raise RuntimeError("refusing to start:\n" + "\n".join(found))
    async with (
        Database(settings.database_url) as database,
        Services(settings, Registry(database), CallStore(database)) as services,
    ):
        idempotency = Idempotency(services, AnswerStore(database))
        services.run(idempotency.run())
        dashboard = Dashboard(services, DashboardStore(database))
        yield {"services": services, "dashboard": dashboard, "idempotency": idempotency}
    tracing.flush()


def create_app(settings: Settings) -> FastAPI:
    """Return the application. Its lifespan opens everything, and may run again after it has ended."""
    app = Api(
        title=about.TITLE,
        description=about.DESCRIPTION,
        lifespan=lambda _: lifespan(settings),
        telemetry={"metrics": False, "logs": False, "exclude": lambda scope: scope["path"] in tracing.UNTRACED},
        servers=[{"url": settings.root_path or "/"}],
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if settings.development else None,
        generate_unique_id_function=lambda route: route.name,
    )
    pages.templates.globals["root"] = settings.root_path
    add_exception_handlers(app)
    dashboard_routes.add_exception_handlers(app)
    for router in (
        chat_routes.router,
        api_routes.paid,
        api_routes.router,
        budget_routes.router,
        health.router,
        dashboard_routes.router,
    ):
        app.include_router(router)
    libraries: list[Any] = [("fastapi_offline", "static")] if settings.development else []
    app.mount("/static", GZipMiddleware(StaticFiles(directory=pages.STATIC, packages=libraries)), name="static")
    if settings.development:
        app.get("/docs", include_in_schema=False)(docs)
    app.add_middleware(Sessions, settings=settings)
    app.add_middleware(Edge, settings=settings)
    if settings.cors_allow_origins:  # around the edge, whose refusals browsers may read too
        app.add_middleware(CORSMiddleware, settings.cors_allow_origins, **CORS)
    return app


def docs() -> HTMLResponse:
    return HTMLResponse(pages.templates.get_template("docs.html").render())


app = create_app(Settings())
limit_memory()
