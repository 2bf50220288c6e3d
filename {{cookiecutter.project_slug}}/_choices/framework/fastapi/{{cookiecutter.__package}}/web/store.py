"""Kept answers in the database."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update

from ..core.database import Database
from .models import KeptAnswer


class AnswerStore:
    """Raises registry.DATABASE_ERRORS if the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, row_id: str) -> KeptAnswer | None:
        async with self._database.session() as session:
            return await session.get(KeptAnswer, row_id)

    async def update(self, row: KeptAnswer, **changes: Any) -> bool:
        """Return False if another request owns it now."""
        owned = (KeptAnswer.id == row.id) & (KeptAnswer.owner == row.owner)
        async with self._database.begin() as session:
            changed = update(KeptAnswer).where(owned).values(**changes).returning(KeptAnswer.id)
            return await session.scalar(changed) is not None

    async def delete(self, row: KeptAnswer) -> None:
        """Delete it, unless its owner or state has changed."""
        same = (KeptAnswer.id == row.id) & (KeptAnswer.owner == row.owner) & (KeptAnswer.state == row.state)
        async with self._database.begin() as session:
            await session.execute(delete(KeptAnswer).where(same))

    async def extend(self, owners: Collection[str], until: datetime) -> None:
        async with self._database.begin() as session:
            await session.execute(update(KeptAnswer).where(KeptAnswer.owner.in_(owners)).values(lease_until=until))

    async def unbooked(self, now: datetime) -> list[KeptAnswer]:
        """Return answers whose settlements their process should have written by now."""
        unbooked = KeptAnswer.state.in_(("charged", "answered"))
        query = select(KeptAnswer).where(unbooked, KeptAnswer.lease_until < now)
        async with self._database.session() as session:
            return [*await session.scalars(query.limit(100))]

    async def prune(self, now: datetime) -> None:
        """Delete what has expired."""
        async with self._database.begin() as session:
            await session.execute(delete(KeptAnswer).where(KeptAnswer.expires_at < now))
