"""Guarded calls in the database: written in batches, read newest first, kept for a bounded time."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import delete, or_, select

from ..database import Database
from .models import CallRow
from .record import CallRecord


class CallStore:
    """Raises sqlalchemy.exc.SQLAlchemyError or OSError when the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, records: Sequence[CallRecord]) -> None:
        """Write a batch. Rows that an earlier try has written already are left as they are."""
        if records:
            async with self._database.begin() as session:
                await session.execute(self._database.insert_absent(CallRow), [asdict(record) for record in records])

    async def latest(self, tenant: str | None, limit: int) -> list[CallRecord]:
        """The newest calls of a tenant, or of all (None), newest first."""
        query = select(CallRow).order_by(CallRow.at.desc(), CallRow.id).limit(limit)
        if tenant is not None:
            query = query.where(CallRow.tenant == tenant)
        async with self._database.session() as session:
            return [CallRecord(**row.values()) for row in await session.scalars(query)]

    async def prune(self, keep_newest: int, older_than: datetime) -> None:
        """Delete what is older than a time, and all but the newest `keep_newest` rows."""
        newest_to_go = select(CallRow.at).order_by(CallRow.at.desc()).offset(keep_newest).limit(1).scalar_subquery()
        async with self._database.begin() as session:
            await session.execute(delete(CallRow).where(or_(CallRow.at < older_than, CallRow.at <= newest_to_go)))
