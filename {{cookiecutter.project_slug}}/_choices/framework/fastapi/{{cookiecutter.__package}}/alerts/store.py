"""Alerts and the last success of housekeeping in the database."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, select, update

from ..core.database import Database, execute_many
from .models import Alert, Housekeeping


class AlertStore:
    """The part of the registry that concerns housekeeping."""

    _database: Database

    async def add_alerts(self, alerts: Sequence[Alert]) -> None:
        """Store alerts. Those whose ID exists stay as they are."""
        if alerts:
            async with self._database.begin() as session:
                await execute_many(session, self._database.insert(Alert).on_conflict_do_nothing(), alerts)

    async def due_alerts(self, now: datetime, limit: int) -> list[Alert]:
        """Return the alerts to deliver, oldest first."""
        query = select(Alert).where(Alert.delivered_at.is_(None), Alert.next_try_at <= now)
        async with self._database.session() as session:
            return [*await session.scalars(query.order_by(Alert.created_at).limit(limit))]

    async def claim_alert(self, alert: Alert, until: datetime) -> bool:
        """Keep others from sending an alert until a time. Return False if another worker was faster."""
        mine = (Alert.id == alert.id) & (Alert.next_try_at == alert.next_try_at) & Alert.delivered_at.is_(None)
        query = update(Alert).where(mine).values(next_try_at=until).returning(Alert.id)
        async with self._database.begin() as session:
            return await session.scalar(query) is not None

    async def save_alert(self, alert: Alert) -> None:
        async with self._database.begin() as session:
            await session.merge(alert)

    async def drop_alerts(self, before: datetime) -> None:
        """Delete the alerts that were delivered before a time."""
        async with self._database.begin() as session:
            await session.execute(delete(Alert).where(Alert.delivered_at < before))

    async def last_success(self) -> datetime | None:
        """Return when all steps of housekeeping last succeeded."""
        async with self._database.session() as session:
            return await session.scalar(select(Housekeeping.succeeded_at))

    async def succeeded(self, at: datetime) -> None:
        """Record that all steps of housekeeping have succeeded."""
        async with self._database.begin() as session:
            await session.merge(Housekeeping(1, at))
