"""Database migrations. They need only DATABASE_URL."""

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from alembic import command, context
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection

from ..calls.models import Balance
from ..core.config import Settings
from ..core.database import MIGRATIONS, Base, Database, UtcDateTime
from ..dashboard.models import AuditEntry
from ..tenants.models import Tenant

TABLES = (AuditEntry, Balance, Tenant)
"""Imported so that Base knows all tables."""


def upgrade() -> None:
    """Migrate the database to the newest version."""
    command.upgrade(_config(), "head")


def drift() -> str | None:
    """Return how the models differ from the migrations, None if they agree."""
    with TemporaryDirectory() as folder:
        config = _config(f"sqlite:///{Path(folder) / 'empty.sqlite3'}")
        command.upgrade(config, "head")
        try:
            command.check(config)
        except CommandError as error:
            return str(error)
    return None


def run() -> None:
    """Run the migrations. migrations/env.py calls this, for `alembic` and for the functions above."""
    if context.is_offline_mode():
        raise SystemExit("--sql is not supported: migrations need the database")
    url = context.config.attributes.get("url") or Settings().database_url
    asyncio.run(_migrate(url))


def _config(url: str | None = None) -> Config:
    config = Config(stdout=sys.stderr, attributes={"url": url})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


async def _migrate(url: str) -> None:
    async with Database(url) as database:
        await database.run_sync(_migrate_on)


def _render(kind: str, item: object, _: object) -> str | Literal[False]:
    """Render our types as SQLAlchemy's: migrations must run with later code."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


def _migrate_on(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,  # SQLite alters a table by copying it
        render_item=_render,
    )
    with context.begin_transaction():
        context.run_migrations()
