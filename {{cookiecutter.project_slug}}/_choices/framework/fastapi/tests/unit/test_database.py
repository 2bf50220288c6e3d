import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from {{ cookiecutter.__package }}.calls.record import CallRecord
from {{ cookiecutter.__package }}.calls.store import CallStore
from {{ cookiecutter.__package }}.database import Base, Database, driver_url
from {{ cookiecutter.__package }}.migrate import drift

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
CALL = CallRecord(
    id="0",
    at=NOON,
    tenant="acme",
    end_user=None,
    route="chat",
    model="m",
    input_tokens=1,
    output_tokens=2,
    hold=30,
    cost=20,
    uncharged=0,
    outcome="charged",
    reservation_id=None,
    request_id="r",
    duration_ms=5,
)


def test_the_migrations_make_the_tables_that_the_models_want() -> None:
    assert drift() is None


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


def test_calls_are_read_newest_first_written_once_and_pruned(tmp_path: Path) -> None:
    def call(number: int, tenant: str) -> CallRecord:
        return dataclasses.replace(CALL, id=str(number), tenant=tenant, at=NOON + timedelta(seconds=number))

    async def story() -> None:
        async with Database(f"sqlite:///{tmp_path / 'app.sqlite3'}") as database:
            await database.run_sync(lambda connection: Base.metadata.create_all(connection.engine))
            store = CallStore(database)
            calls = [call(number, "acme" if number % 2 else "globex") for number in range(6)]
            await store.insert(calls[:4])
            await store.insert(calls)  # a batch tried again
            assert await store.latest(None, 10) == calls[::-1]
            assert await store.latest("acme", 2) == [calls[5], calls[3]]
            await store.prune(keep_newest=3, older_than=NOON)
            assert await store.latest(None, 10) == calls[:2:-1]
            await store.prune(keep_newest=3, older_than=calls[5].at)
            assert await store.latest(None, 10) == [calls[5]]

    asyncio.run(story())
