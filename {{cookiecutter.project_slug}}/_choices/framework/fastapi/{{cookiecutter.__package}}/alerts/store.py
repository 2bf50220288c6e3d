"""Alerts and the last success of housekeeping in the database."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update

from ..core.database import Database, execute_many
from .models import Alert, Success

KEPT_FOR = timedelta(days=90)
BATCH = 50


class AlertStore:
    """The part of the registry that concerns housekeeping."""

    _database: Database

    async def add_alerts(self, alerts: Sequence[Alert]) -> None:
        """Store alerts. Those whose ID exists stay as they are."""
        if alerts:
            async with self._database.begin() as session:
                await execute_many(session, self._database.insert(Alert).on_conflict_do_nothing(), alerts)

    async def claim_alerts(self, now: datetime, until: datetime) -> list[Alert]:
        """Return alerts to deliver, and keep others from them until a time. Delete those delivered long ago."""
        due = Alert.delivered_at.is_(None) & (Alert.next_try_at <= now)
        first = select(Alert.id).where(due).order_by(Alert.created_at).limit(BATCH)
        claim = update(Alert).where(due, Alert.id.in_(first)).values(next_try_at=until).returning(Alert)
        async with self._database.begin() as session:
            await session.execute(delete(Alert).where(Alert.delivered_at < now - KEPT_FOR))
            return [*await session.scalars(claim)]

    async def last_success(self) -> datetime | None:
        """Return when all steps of housekeeping last succeeded."""
        async with self._database.session() as session:
            return await session.scalar(select(Success.at))
