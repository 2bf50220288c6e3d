"""The database: SQLite in a file, or PostgreSQL, by DATABASE_URL."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    URL,
    Connection,
    DateTime,
    Dialect,
    Insert,
    MetaData,
    String,
    Table,
    TypeDecorator,
    event,
    make_url,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

MIGRATIONS = Path(__file__).parents[1] / "migrations"


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in and out; SQLite would forget the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.replace(tzinfo=value.tzinfo or UTC) if value else None


class Base(DeclarativeBase):
    """All tables. Constraints have names, so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime, str: String(256)}  # noqa: RUF012

    def values(self) -> dict[str, Any]:
        """The row by column, to make the plain record of it."""
        return {column.key: getattr(self, column.key) for column in self.__table__.columns}


class Database:
    """A pool of connections: an async context manager. `url` is DATABASE_URL, which names no driver."""

    def __init__(self, url: str) -> None:
        self._engine = create_async_engine(driver_url(url))
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)

    def session(self) -> AsyncSession:
        """To read in."""
        return self._sessions()

    def begin(self) -> AbstractAsyncContextManager[AsyncSession]:
        """To write in: committed at the end of the block."""
        return self._sessions.begin()

    def insert_absent(self, table: type[Base] | Table) -> Insert:
        """An INSERT that passes over the rows whose key is there."""
        return self._insert(table).on_conflict_do_nothing()

    def upsert(self, table: type[Base], keep: tuple[str, ...] = (), latest_by: str | None = None) -> Insert:
        """An INSERT that replaces the rows whose key is there, but for their columns `keep`.

        Those that have a later `latest_by` stay.
        """
        insert, columns = self._insert(table), table.__table__.columns
        keys = [column.key for column in columns if column.primary_key]
        others = {column.key: insert.excluded[column.key] for column in columns if column.key not in (*keys, *keep)}
        is_later = insert.excluded[latest_by] >= columns[latest_by] if latest_by else None
        return insert.on_conflict_do_update(index_elements=keys, set_=others, where=is_later)

    def _insert(self, table: type[Base] | Table) -> sqlite.Insert | postgresql.Insert:
        insert = sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
        return insert(table)

    async def ready(self) -> None:
        """Raise what keeps the database from answering (SQLAlchemyError, OSError)."""
        async with self._engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def is_migrated(self) -> bool:
        """Whether all migrations of this version have run; those of a later one only add to the tables."""
        async with self._engine.connect() as connection:
            current = await connection.run_sync(_heads)
        scripts = ScriptDirectory(str(MIGRATIONS))
        earlier = {script.revision for script in scripts.walk_revisions()} - set(scripts.get_heads())
        return bool(current) and earlier.isdisjoint(current)

    async def run_sync(self, work: Callable[[Connection], None]) -> None:
        """Do `work` on a plain connection: what Alembic needs."""
        async with self._engine.connect() as connection:
            await connection.run_sync(work)

    async def aclose(self) -> None:
        await self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


async def execute_many(session: AsyncSession, query: Insert, records: Sequence[Any]) -> None:
    """Insert these dataclasses, whose members are the columns.

    Past the ORM, and without `asdict`, which copies each value: a third of the time for a row.
    """
    names = [field.name for field in fields(records[0])]
    rows = [{name: getattr(record, name) for name in names} for record in records]
    await (await session.connection()).execute(query, rows)


def driver_url(url: str) -> URL:
    """SQLAlchemy's URL, with the asynchronous driver, for `sqlite:////path` or `postgresql://...`.

    The folder of an SQLite file is made.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        Path(parsed.database or "").parent.mkdir(parents=True, exist_ok=True)
        return parsed.set(drivername="sqlite+aiosqlite")
    query = {"ssl" if name == "sslmode" else name: value for name, value in parsed.query.items()}
    return parsed.set(drivername="postgresql+asyncpg", query=query)


def _heads(connection: Connection) -> tuple[str, ...]:
    return MigrationContext.configure(connection).get_current_heads()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    # with WAL nothing is lost to a kill by NORMAL, which waits for no disk at each commit
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "busy_timeout = 5000", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    # of 2 MB each, as by default, the pool's caches made a process grow by a tenth; the system has the file's pages too
    cursor.execute("PRAGMA cache_size = -256")
    cursor.close()
