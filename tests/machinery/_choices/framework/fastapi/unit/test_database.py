import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text

from {{ cookiecutter.__package }}.cli.migrate import check, upgrade
from {{ cookiecutter.__package }}.core.database import MIGRATIONS, Database, driver_url
from {{ cookiecutter.__package }}.dashboard.query import TenantQuery
from {{ cookiecutter.__package }}.dashboard.store import DashboardStore

from .stories import Opened


def test_the_migrations_make_the_tables_that_the_models_want() -> None:
    check()


NEWEST = max(path.name[:4] for path in MIGRATIONS.glob("versions/[0-9]*.py"))


@pytest.mark.parametrize(("revision", "serves"), [(None, False), (NEWEST, True), ("9999", True)])
def test_a_version_serves_on_its_own_tables_and_on_those_of_a_later_one(
    tmp_path: Path, revision: str | None, *, serves: bool
) -> None:
    path = tmp_path / "app.sqlite3"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE alembic_version (version_num)")
        database.execute("INSERT INTO alembic_version SELECT :it WHERE :it IS NOT NULL", {"it": revision})

    async def is_migrated() -> bool:
        async with Database(f"sqlite:///{path}") as opened:
            return await opened.is_migrated()

    assert asyncio.run(is_migrated()) is serves


def test_migrate_leaves_the_tables_of_a_later_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/app.sqlite3")
    upgrade()
    with closing(sqlite3.connect(tmp_path / "app.sqlite3")) as database:
        with database:
            database.execute("UPDATE alembic_version SET version_num = '9999'")
        upgrade()
        assert [*database.execute("SELECT version_num FROM alembic_version")] == [("9999",)]


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("sqlite:////{folder}/new/app.sqlite3", "sqlite+aiosqlite:////{folder}/new/app.sqlite3"),
        ("postgresql://u:p@h:5/n?sslmode=require", "postgresql+asyncpg://u:p@h:5/n?ssl=require"),
    ],
)
def test_a_database_url_names_no_driver(tmp_path: Path, given: str, used: str) -> None:
    folder = str(tmp_path).lstrip("/")
    url = driver_url(given.format(folder=folder))
    assert url.render_as_string(hide_password=False) == used.format(folder=folder)


def test_writers_of_an_sqlite_file_take_turns_as_they_come_instead_of_waiting_until_one_finds_it_locked(
    tmp_path: Path,
) -> None:
    """SQLite lets whoever asks at the right moment write first, and a busy process's turns are long."""
    done: list[int] = []

    async def write(database: Database, number: int) -> None:
        async with database.begin() as session:
            await session.execute(text("INSERT INTO numbers VALUES (1)"))
            await asyncio.sleep(0.05)
        done.append(number)

    async def write_at_once() -> None:
        async with Database(f"sqlite:///{tmp_path / 'app.sqlite3'}") as opened:
            async with opened.begin() as session:
                await session.execute(text("CREATE TABLE numbers (number INTEGER)"))
            await asyncio.gather(*(write(opened, number) for number in range(12)))

    asyncio.run(write_at_once())
    assert done == [*range(12)]


def test_a_page_of_tenants_is_one_query(opened: Opened) -> None:
    asked: list[str] = []

    def note(*about: object) -> None:
        asked.append(str(about[2]))

    async def look() -> None:
        async with opened() as (_, calls):
            store = DashboardStore(*vars(calls).values())
            event.listen(Engine, "before_cursor_execute", note)
            try:
                await store.page(TenantQuery(q="a", sort="burn", page=2), 0, datetime.now(UTC), 50)
            finally:
                event.remove(Engine, "before_cursor_execute", note)

    asyncio.run(look())
    assert len(asked) == 1
