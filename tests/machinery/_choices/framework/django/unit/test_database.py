import asyncio
import inspect
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test.utils import CaptureQueriesContext

from {{ cookiecutter.__package }}.dashboard.query import TenantQuery
from {{ cookiecutter.__package }}.dashboard.store import DashboardStore
from {{ cookiecutter.__package }}.settings import database

from .stories import Opened

FORKED = """
import asyncio, os, django
django.setup()
from {{ cookiecutter.__package }}.tenants.registry import Registry
registry = Registry()
asyncio.run(registry.is_migrated())
child = os.fork()
asyncio.run(asyncio.wait_for(registry.is_migrated(), 10))
raise SystemExit(os.waitpid(child, 0)[1] if child else 0)
"""


def test_relative_path_is_kept_and_its_folder_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert database("sqlite:///new/app.sqlite3")["NAME"] == "new/app.sqlite3"
    assert database(f"sqlite:///{tmp_path}/app.sqlite3")["NAME"] == f"{tmp_path}/app.sqlite3"
    assert Path("new").is_dir()


def test_postgresql_url_keeps_its_parameters() -> None:
    made = database("postgresql://u:p%40ss@h:5/n?sslmode=require")
    parts = {"USER": "u", "PASSWORD": "p@ss", "HOST": "h", "PORT": 5, "NAME": "n"}
    assert made.items() >= parts.items()
    assert made["OPTIONS"]["sslmode"] == "require"


def test_queries_work_in_every_event_loop_and_migrations_match_the_models(opened: Opened) -> None:
    async def is_migrated() -> bool:
        async with opened() as (registry, _):
            return await registry.is_migrated()

    assert asyncio.run(is_migrated())
    assert async_to_sync(is_migrated)()


def test_forked_process_uses_its_own_connections(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "DATABASE_URL": f"sqlite:///{tmp_path / 'app.sqlite3'}",
    }
    subprocess.run([sys.executable, "-c", FORKED], check=True, cwd=tmp_path, env=environment)


@pytest.mark.usefixtures("opened")
def test_page_of_tenants_takes_one_query() -> None:
    page = inspect.unwrap(DashboardStore.page)  # in this thread, whose queries are counted
    with CaptureQueriesContext(connection) as asked:
        page(DashboardStore(), TenantQuery(q="a", sort="burn", page=2), 0, datetime.now(UTC), 50)
    assert len(asked) == 1
