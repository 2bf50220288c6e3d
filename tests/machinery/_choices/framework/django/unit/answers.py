"""Kept answers of a world."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from {{ cookiecutter.__package }}.web.store import AnswerStore

from .stories import World


@asynccontextmanager
async def opened_answers(_: World) -> AsyncIterator[AnswerStore]:
    yield AnswerStore()
