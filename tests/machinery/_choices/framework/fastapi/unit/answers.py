"""Kept answers of a world."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from {{ cookiecutter.__package }}.core.database import Database
from {{ cookiecutter.__package }}.web.store import AnswerStore

from .stories import World


@asynccontextmanager
async def opened_answers(world: World) -> AsyncIterator[AnswerStore]:
    async with Database(world.environment["DATABASE_URL"]) as database:
        yield AnswerStore(database)
