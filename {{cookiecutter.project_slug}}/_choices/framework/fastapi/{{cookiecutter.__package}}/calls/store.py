"""Guarded calls in the database: written in batches, read newest first, kept for a bounded time."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import BigInteger, cast, delete, extract, func, or_, select, tuple_, update

from ..core.database import Database, execute_many
from .models import CallRow
from .record import SERVED, Amendment, CallRecord, Refusals, Share


class CallStore:
    """Raises sqlalchemy.exc.SQLAlchemyError or OSError when the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, records: Sequence[CallRecord]) -> None:
        """Write a batch. Rows that an earlier try has written already are left as they are."""
        if records:
            async with self._database.begin() as session:
                await execute_many(session, self._database.insert_absent(CallRow), records)

    async def latest(self, tenant: str | None, limit: int, before: CallRecord | None = None) -> list[CallRecord]:
        """The newest calls of a tenant, or of all (None), newest first; `before` is the last one of the page before."""
        query = select(CallRow).order_by(CallRow.at.desc(), CallRow.id.desc()).limit(limit)
        if tenant is not None:
            query = query.where(CallRow.tenant == tenant)
        if before is not None:
            query = query.where(tuple_(CallRow.at, CallRow.id) < (before.at, before.id))
        async with self._database.session() as session:
            return [CallRecord(**row.values()) for row in await session.scalars(query)]

    async def refusals(self, since: datetime) -> list[Refusals]:
        """By hour and reason."""
        hour = cast(extract("epoch", CallRow.at), BigInteger) // 3600
        refused = select(hour, CallRow.outcome, func.count()).where(CallRow.at >= since, CallRow.outcome.not_in(SERVED))
        async with self._database.session() as session:
            return [Refusals(*row) for row in await session.execute(refused.group_by(hour, CallRow.outcome))]

    async def uncharged(self, since: datetime) -> int:
        """Microcents that no ledger took."""
        query = select(func.sum(CallRow.uncharged)).where(CallRow.at >= since, CallRow.uncharged > 0)
        async with self._database.session() as session:
            return int(await session.scalar(query) or 0)

    async def shares(self, tenant: str, kind: str, since: datetime, limit: int) -> list[Share]:
        """What took most of a tenant's spend, by `model`, `route` or `end_user`, the largest first."""
        name, cost = getattr(CallRow, kind), func.sum(CallRow.cost)
        query = select(name, cost, func.count()).where(CallRow.tenant == tenant, CallRow.at >= since, CallRow.cost > 0)
        async with self._database.session() as session:
            rows = await session.execute(query.group_by(name).order_by(cost.desc()).limit(limit))
            return [Share(name, int(cost), count) for name, cost, count in rows]

    async def amend(self, amendment: Amendment) -> None:
        """Write down what no ledger took of a call's cost, if its record does not tell already."""
        theirs = (CallRow.tenant == amendment.tenant) & (CallRow.reservation_id == amendment.reservation_id)
        change = {"uncharged": amendment.uncharged, "cost": CallRow.cost - amendment.uncharged}
        async with self._database.begin() as session:
            await session.execute(update(CallRow).where(theirs, CallRow.uncharged == 0).values(change))

    async def prune(self, keep_newest: int, older_than: datetime) -> None:
        """Delete what is older than a time, and all but the newest `keep_newest` rows."""
        newest_to_go = select(CallRow.at).order_by(CallRow.at.desc()).offset(keep_newest).limit(1).scalar_subquery()
        async with self._database.begin() as session:
            await session.execute(delete(CallRow).where(or_(CallRow.at < older_than, CallRow.at <= newest_to_go)))
