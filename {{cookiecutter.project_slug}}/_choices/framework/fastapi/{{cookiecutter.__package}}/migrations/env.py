"""Alembic's environment. It migrates the database of the attribute `url`, or of DATABASE_URL.

With the attribute `if_behind`, it leaves a database that a later version has migrated, as after a rollback.
"""

import asyncio
from typing import Literal

from alembic import context
from sqlalchemy import Connection

from {{ cookiecutter.__package }}.calls.models import Balance
from {{ cookiecutter.__package }}.core.config import Settings
from {{ cookiecutter.__package }}.core.database import Base, Database, UtcDateTime
from {{ cookiecutter.__package }}.dashboard.models import AuditEntry
from {{ cookiecutter.__package }}.tenants.models import Tenant
from {{ cookiecutter.__package }}.web.models import KeptAnswer

LOCK = {
    "sqlite": ("PRAGMA busy_timeout=600000", "BEGIN IMMEDIATE"),
    "postgresql": ("SELECT pg_advisory_xact_lock(7878)",),
}
"""Makes concurrent migrations wait for each other."""
TABLES = (AuditEntry, Balance, KeptAnswer, Tenant)
"""Imported so that Base knows all tables."""


async def migrate() -> None:
    attributes = context.config.attributes
    async with Database(attributes.get("url") or Settings().database_url) as database:
        if not (attributes.get("if_behind") and await database.is_migrated()):
            await database.run_sync(migrate_on)


def migrate_on(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,  # SQLite alters a table by copying it
        render_item=render,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        for statement in LOCK[connection.dialect.name]:
            connection.exec_driver_sql(statement)
        context.run_migrations()


def render(kind: str, item: object, _: object) -> str | Literal[False]:
    """Render our types as SQLAlchemy's: migrations must run with later code."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


if context.is_offline_mode():
    raise SystemExit("--sql is not supported: migrations need the database")
asyncio.run(migrate())
