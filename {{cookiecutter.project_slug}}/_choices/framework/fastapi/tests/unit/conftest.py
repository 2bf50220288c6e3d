"""A database for tests that need one but no app."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from {{ cookiecutter.__package }}.calls.store import CallStore
from {{ cookiecutter.__package }}.core.database import Base, Database
from {{ cookiecutter.__package }}.tenants.registry import Registry

from .stories import Opened, tell

__all__ = ["opened", "tell"]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    @asynccontextmanager
    async def fresh() -> AsyncIterator[tuple[Registry, CallStore]]:
        async with Database(f"sqlite:///{tmp_path / 'app.sqlite3'}") as database:
            await database.run_sync(lambda connection: Base.metadata.create_all(connection.engine))
            yield Registry(database), CallStore(database)

    return fresh
