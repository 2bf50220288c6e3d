"""ASGI application. A request passes edge, middleware, route, identity, preflight and guard."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import django
from anyio.from_thread import BlockingPortal
from django.conf import settings
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Router

os.environ.setdefault("DJANGO_SETTINGS_MODULE", f"{__package__}.settings")
django.setup(set_prefix=False)  # before the imports below: they load models

from . import urls  # noqa: E402, F401  (load routes now, not with the first request)
from .calls.store import CallStore  # noqa: E402
from .core import tracing  # noqa: E402
from .core.memory import limit_memory  # noqa: E402
from .dashboard import pages  # noqa: E402
from .dashboard.service import Dashboard  # noqa: E402
from .dashboard.store import DashboardStore  # noqa: E402
from .tenants.registry import Registry  # noqa: E402
from .web import sync  # noqa: E402
from .web.asgi import Handler  # noqa: E402
from .web.edge import CORS, Edge  # noqa: E402
from .web.idempotency import Idempotency  # noqa: E402
from .web.services import Services  # noqa: E402
from .web.startup import faults  # noqa: E402
from .web.store import AnswerStore  # noqa: E402


@asynccontextmanager
async def lifespan(_: object) -> AsyncIterator[dict[str, object]]:
    """Yield what requests find in `scope["state"]`. Raise RuntimeError for settings that must not serve."""
    if found := faults(settings.ENV):
        raise RuntimeError("refusing to start:\n" + "\n".join(found))
    async with (
        BlockingPortal() as portal,
        Services(settings.ENV, Registry(), CallStore()) as services,
    ):
        idempotency = Idempotency(services, AnswerStore())
        services.run(idempotency.run())
        with sync.serving(portal, services):
            yield {
                "services": services,
                "dashboard": Dashboard(services, DashboardStore()),
                "idempotency": idempotency,
            }
    tracing.flush()


application: Any = Edge(Router(default=Handler(), lifespan=lifespan), settings.ENV)
if settings.ENV.cors_allow_origins:  # around the edge, whose refusals browsers may read too
    application = CORSMiddleware(application, settings.ENV.cors_allow_origins, **CORS)
if tracing.ENABLED:
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware

    application = OpenTelemetryMiddleware(
        application, excluded_urls=",".join(tracing.UNTRACED), exclude_spans=["receive", "send"]
    )
pages.templates.globals["root"] = settings.ENV.root_path
limit_memory()
