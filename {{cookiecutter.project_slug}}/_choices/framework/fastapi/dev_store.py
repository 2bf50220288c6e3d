"""The app's database, for dev_month.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from {{ cookiecutter.__package }}.calls.store import CallStore
from {{ cookiecutter.__package }}.core.config import Settings
from {{ cookiecutter.__package }}.core.database import Database
from {{ cookiecutter.__package }}.tenants.registry import Registry


@asynccontextmanager
async def open_stores(settings: Settings) -> AsyncIterator[tuple[Registry, CallStore]]:
    """Open the registry and the record of calls."""
    async with Database(settings.database_url) as database:
        yield Registry(database), CallStore(database)
