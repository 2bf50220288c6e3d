"""The database: SQLite in a file, or PostgreSQL, chosen by DATABASE_URL."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from .sqlite_file import make_private

T = TypeVar("T")

MIGRATIONS = Path(__file__).parents[1] / "migrations"
logging.getLogger("alembic.runtime.migration").setLevel(logging.WARNING)  # it tells the database's kind at each use


class UtcDateTime(sa.TypeDecorator[datetime]):
    """Aware datetimes in UTC. SQLite would drop the time zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        return value.replace(tzinfo=value.tzinfo or UTC) if value else None


class Base(DeclarativeBase):
    """Base of all tables. Constraints have names, so that migrations can refer to them."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime, str: sa.String(256)}  # noqa: RUF012


class Database:
    """A connection pool, as an async context manager. `url` is DATABASE_URL, without a driver."""

    def __init__(self, url: str) -> None:
        self._engine = create_async_engine(driver_url(url))
        self.insert: Callable[[type[Base] | sa.Table], sqlite.Insert | postgresql.Insert] = postgresql.insert
        """Builds an INSERT that may have an ON CONFLICT clause."""
        self._turn: AbstractAsyncContextManager[object] = nullcontext()
        if self._engine.dialect.name == "sqlite":
            self.insert = sqlite.insert
            self._turn = asyncio.Lock()  # SQLite has one writer and no queue: who waits too long finds it locked
            sa.event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
        self.session = async_sessionmaker(self._engine, expire_on_commit=False)
        """Opens a session to read."""

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """Open a session to write, committed at the end of the block. Don't open another one in it."""
        async with self._turn, self.session.begin() as session:
            yield session

    async def rows(self, query: sa.Executable) -> list[Any]:
        """Return the rows of a query."""
        async with self.session() as session:
            return [*await session.execute(query)]

    async def scalars(self, query: sa.Select[T]) -> list[T]:
        """Return the first column of a query."""
        async with self.session() as session:
            return [*await session.scalars(query)]

    async def scalar(self, query: sa.Select[T]) -> T | None:
        """Return the first column of the first row, None if there is none."""
        async with self.session() as session:
            return await session.scalar(query)

    async def write(self, *statements: sa.UpdateBase) -> int:
        """Run UPDATE and DELETE statements in one transaction. Return how many rows the last one has changed."""
        changed = 0
        async with self.begin() as session:
            for statement in statements:
                result: Any = await session.execute(statement, execution_options={"synchronize_session": False})
                changed = result.rowcount
        return changed

    async def insert_many(self, statement: sa.Insert, records: Sequence[Any]) -> None:
        """Insert dataclasses whose fields are the columns. Takes a third of the ORM's time per row."""
        if records:
            names = [field.name for field in fields(records[0])]
            rows = [{name: getattr(record, name) for name in names} for record in records]
            async with self.begin() as session:
                await (await session.connection()).execute(statement, rows)

    async def is_migrated(self) -> bool:
        """Return whether all migrations of this version have run. A later version's are fine: they only add."""
        current = await self.run_sync(lambda connection: MigrationContext.configure(connection).get_current_heads())
        return bool(current) and _earlier_revisions().isdisjoint(current)

    async def run_sync(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` on a synchronous connection, which Alembic needs."""
        async with self._engine.connect() as connection:
            return await connection.run_sync(work)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._engine.dispose()


class Store:
    """Base of the classes that have the queries."""

    def __init__(self, database: Database) -> None:
        self._database = database


@cache
def _earlier_revisions() -> set[str]:
    """Return all migrations but the newest."""
    scripts = ScriptDirectory(str(MIGRATIONS))
    return {script.revision for script in scripts.walk_revisions()} - set(scripts.get_heads())


def driver_url(url: str) -> sa.URL:
    """Return SQLAlchemy's URL, with the async driver, for a DATABASE_URL. Creates an SQLite file."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        make_private(Path(parsed.database or ""))
        return parsed.set(drivername="sqlite+aiosqlite")
    query = {"ssl" if name == "sslmode" else name: value for name, value in parsed.query.items()}
    return parsed.set(drivername="postgresql+asyncpg", query=query)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    # NORMAL with WAL survives a kill without a disk sync per commit. The default cache is 2 MB per connection.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000", "foreign_keys=ON", "cache_size=-256"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
