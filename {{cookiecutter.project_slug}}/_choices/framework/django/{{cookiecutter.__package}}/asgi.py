"""Where all is put together. A request's way: edge, middleware, route, identity, preflight, guard, answer."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypedDict, cast

import django
from anyio.from_thread import BlockingPortal
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler

os.environ.setdefault("DJANGO_SETTINGS_MODULE", f"{__package__}.settings")
django.setup(set_prefix=False)  # first: what follows imports models

from . import urls  # noqa: E402, F401  (the first request need not load them)
from .calls.store import CallStore  # noqa: E402
from .core.config import Settings  # noqa: E402
from .core.memory import limit_memory  # noqa: E402
from .core.tracing import UNTRACED, enabled, tracing  # noqa: E402
from .dashboard.service import Dashboard  # noqa: E402
from .dashboard.store import DashboardStore  # noqa: E402
from .tenants.registry import Registry  # noqa: E402
from .web import sync  # noqa: E402
from .web.edge import App, Edge, Receive, Scope, Send  # noqa: E402
from .web.lifespan import answer  # noqa: E402
from .web.services import Services  # noqa: E402
from .web.startup import faults  # noqa: E402


class State(TypedDict):
    """What every request finds in `scope["state"]`."""

    services: Services
    dashboard: Dashboard


@asynccontextmanager
async def process(settings: Settings) -> AsyncIterator[State]:
    """The state of a serving process. Raises RuntimeError for a configuration that must not serve."""
    if found := faults(settings):
        raise RuntimeError("refusing to start:\n" + "\n".join(found))
    async with (
        tracing(),
        BlockingPortal() as loop,
        Services(settings, Registry(), CallStore()) as services,
    ):
        with sync.serving(loop, services):
            yield {"services": services, "dashboard": Dashboard(services, DashboardStore())}


class Handler(ASGIHandler):
    """Django's, which starts a thread for each request, and waits for its end: the API's have no use for one."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].startswith("/api/"):
            await self.handle(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


_served: App = Edge(cast(App, Handler()), settings.ENV)
if enabled():
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    _served = OpenTelemetryMiddleware(_served, excluded_urls=",".join(UNTRACED), exclude_spans=["receive", "send"])


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers the lifespan itself, which Django does not know, and leaves the rest to Django."""
    if scope["type"] == "lifespan":
        await answer(process(settings.ENV), scope, receive, send)
    else:
        await _served(scope, receive, send)


limit_memory()
