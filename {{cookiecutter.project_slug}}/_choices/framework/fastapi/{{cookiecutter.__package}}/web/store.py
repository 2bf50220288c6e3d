"""Kept answers in the database."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update

from ..core.database import Store
from .models import KeptAnswer


class AnswerStore(Store):
    """Raises registry.DATABASE_ERRORS if the database fails."""

    async def update(self, row: KeptAnswer, **changes: Any) -> bool:
        """Return False if another request owns it now."""
        owned = (KeptAnswer.id == row.id) & (KeptAnswer.owner == row.owner)
        return await self._database.write(update(KeptAnswer).where(owned).values(**changes)) == 1

    async def delete(self, row: KeptAnswer) -> None:
        """Delete it, unless its owner or answer has changed."""
        same = (KeptAnswer.id == row.id) & (KeptAnswer.owner == row.owner) & (KeptAnswer.answer == row.answer)
        await self._database.write(delete(KeptAnswer).where(same))

    async def tend(self, owners: Collection[str], now: datetime, until: datetime) -> list[KeptAnswer]:
        """Extend leases and delete what has expired. Return answers that their process should have completed by now."""
        late = select(KeptAnswer).where(KeptAnswer.answer != "", KeptAnswer.lease_until < now)
        async with self._database.begin() as session:
            await session.execute(update(KeptAnswer).where(KeptAnswer.owner.in_(owners)).values(lease_until=until))
            await session.execute(delete(KeptAnswer).where(KeptAnswer.expires_at < now))
            return [*await session.scalars(late.limit(100))]
