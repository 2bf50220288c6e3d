"""Django set up for the tests of modules, and a database for those that need one and no app."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import django
import pytest
from django.core.management import call_command
from django.db import connection

os.environ["DJANGO_SETTINGS_MODULE"] = "{{ cookiecutter.__package }}.settings"
django.setup()

from {{ cookiecutter.__package }}.calls.store import CallStore  # noqa: E402
from {{ cookiecutter.__package }}.tenants.registry import Registry  # noqa: E402

from .stories import Opened, tell  # noqa: E402

__all__ = ["opened", "tell"]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that has all tables, to be copied: to migrate one takes a second."""
    path = tmp_path_factory.mktemp("migrated") / "app.sqlite3"
    with pytest.MonkeyPatch.context() as patch:
        connection.close()
        patch.setitem(connection.settings_dict, "NAME", str(path))
        call_command("migrate", verbosity=0)
        connection.close()
    return path


@pytest.fixture
def opened(migrated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    @asynccontextmanager
    async def fresh() -> AsyncIterator[tuple[Registry, CallStore]]:
        yield Registry(), CallStore()

    connection.close()
    path = shutil.copy(migrated, tmp_path / "app.sqlite3")
    monkeypatch.setitem(connection.settings_dict, "NAME", str(path))  # that of all threads
    yield fresh
    connection.close()
