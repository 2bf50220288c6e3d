"""Kept answers and pages of a world."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from django.conf import settings

from {{ cookiecutter.__package }}.dashboard.service import Dashboard
from {{ cookiecutter.__package }}.dashboard.store import DashboardStore
from {{ cookiecutter.__package }}.web.asgi import Handler
from {{ cookiecutter.__package }}.web.edge import Edge
from {{ cookiecutter.__package }}.web.store import AnswerStore

from .stories import World


@asynccontextmanager
async def opened_answers(_: World) -> AsyncIterator[AnswerStore]:
    yield AnswerStore()


@asynccontextmanager
async def opened_app(world: World) -> AsyncIterator[Any]:
    """The app, with nothing cached for any request."""
    settings.SECRET_KEY = world.environment["SECRET_KEY"]
    app = Edge(Handler(), settings.ENV)

    async def cold(scope: Any, receive: Any, send: Any) -> None:
        dashboard = Dashboard(world.services, DashboardStore())
        await app({**scope, "state": {"services": world.services, "dashboard": dashboard}}, receive, send)

    yield cold
