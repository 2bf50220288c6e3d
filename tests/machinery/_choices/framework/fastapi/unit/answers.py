"""Kept answers and pages of a world."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from {{ cookiecutter.__package }}.core.database import Database
from {{ cookiecutter.__package }}.dashboard.service import Dashboard
from {{ cookiecutter.__package }}.dashboard.store import DashboardStore
from {{ cookiecutter.__package }}.main import create_app
from {{ cookiecutter.__package }}.web.store import AnswerStore

from .stories import World


@asynccontextmanager
async def opened_answers(world: World) -> AsyncIterator[AnswerStore]:
    async with Database(world.environment["DATABASE_URL"]) as database:
        yield AnswerStore(database)


@asynccontextmanager
async def opened_app(world: World) -> AsyncIterator[Any]:
    """The app, with nothing cached for any request."""
    app = create_app(world.services.settings)
    async with Database(world.environment["DATABASE_URL"]) as database:

        async def cold(scope: Any, receive: Any, send: Any) -> None:
            dashboard = Dashboard(world.services, DashboardStore(database))
            await app({**scope, "state": {"services": world.services, "dashboard": dashboard}}, receive, send)

        yield cold
