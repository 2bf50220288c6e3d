"""Where all is put together. A request's way: edge, middleware, route, identity, preflight, guard, answer."""

import os
from typing import Any, cast

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler

os.environ.setdefault("DJANGO_SETTINGS_MODULE", f"{__package__}.settings")
django.setup(set_prefix=False)  # first: what follows imports models

from . import lifespan, urls  # noqa: E402, F401  (the first request need not load them)
from .web.edge import App, Edge, Receive, Scope, Send  # noqa: E402
from .core.memory import spare_memory  # noqa: E402
from .core.tracing import UNTRACED, wanted  # noqa: E402


class Handler(ASGIHandler):
    """Django's, which starts a thread for each request, and waits for its end: the API's have no use for one."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].startswith("/api/"):
            await self.handle(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


_served: App = Edge(cast(App, Handler()), settings.ENV)
if wanted():
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    _served = OpenTelemetryMiddleware(_served, excluded_urls=",".join(UNTRACED), exclude_spans=["receive", "send"])


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers the lifespan itself, which Django does not know, and leaves the rest to Django."""
    if scope["type"] == "lifespan":
        await lifespan.answer(lifespan.process(settings.ENV), scope, receive, send)
    else:
        await _served(scope, receive, send)


spare_memory()
