"""Where all is put together. A request's way: edge, middleware, route, identity, preflight, guard, answer."""

import os
from typing import cast

from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", f"{__package__}.django_settings")
django = get_asgi_application()  # first: what follows imports models

from . import lifespan  # noqa: E402
from .edge import App, Edge, Receive, Scope, Send  # noqa: E402
from .tracing import UNTRACED, wanted  # noqa: E402

_served: App = Edge(cast(App, django), settings.ENV)
if wanted():
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    _served = OpenTelemetryMiddleware(_served, excluded_urls=",".join(UNTRACED), exclude_spans=["receive", "send"])


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers the lifespan itself, which Django does not know, and leaves the rest to Django."""
    if scope["type"] == "lifespan":
        await lifespan.answer(lifespan.process(settings.ENV), scope, receive, send)
    else:
        await _served(scope, receive, send)
