"""Django set up for the tests of modules, and a database for those that need one and no app."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import django
import pytest
from django.core.management import call_command
from django.db import connection

os.environ["DJANGO_SETTINGS_MODULE"] = "{{ cookiecutter.__package }}.django_settings"
django.setup()

from {{ cookiecutter.__package }}.calls.store import CallStore  # noqa: E402
from {{ cookiecutter.__package }}.tenants.registry import Registry  # noqa: E402

from .stories import Opened  # noqa: E402


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    @asynccontextmanager
    async def fresh() -> AsyncIterator[tuple[Registry, CallStore]]:
        yield Registry(), CallStore()

    connection.close()
    monkeypatch.setitem(connection.settings_dict, "NAME", str(tmp_path / "app.sqlite3"))  # that of all threads
    call_command("migrate", verbosity=0)
    yield fresh
    connection.close()
