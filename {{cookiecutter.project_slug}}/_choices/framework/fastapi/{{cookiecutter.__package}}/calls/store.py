"""Guarded calls and balances in the database."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, or_, select, tuple_, update

from ..core.database import Store
from .models import SERVED, Alert, Balance, Call
from .query import CallQuery


class CallStore(Store):
    """Raises sqlalchemy.exc.SQLAlchemyError or OSError when the database does not answer."""

    async def insert(self, records: Sequence[Call]) -> None:
        """Write a batch. Rows that exist already stay as they are."""
        await self._database.insert_many(self._database.insert(Call).on_conflict_do_nothing(), records)

    async def prune(self, keep_newest: int, older_than: datetime) -> None:
        """Delete rows older than a time, and all but the newest `keep_newest` rows."""
        newest_to_go = select(Call.at).order_by(Call.at.desc()).offset(keep_newest).limit(1).scalar_subquery()
        await self._database.write(delete(Call).where(or_(Call.at < older_than, Call.at <= newest_to_go)))

    async def latest(self, query: CallQuery, limit: int) -> list[Call]:
        """Return the newest calls that match, newest first."""
        earlier = tuple_(Call.at, Call.id) < query.end()
        found = select(Call).filter_by(**query.texts()).where(earlier, Call.at >= query.since)
        if query.outcome == "refused":
            found = found.where(Call.outcome.not_in(SERVED))
        return await self._database.scalars(found.order_by(Call.at.desc(), Call.id.desc()).limit(limit))

    async def horizon(self, query: CallQuery, calls: int) -> datetime | None:
        """Return the time of the call after so many that match, from the newest on, if there is one."""
        times = select(Call.at).filter_by(**query.texts()).where(Call.at.between(query.since, query.end()[0]))
        return await self._database.scalar(times.order_by(Call.at.desc()).offset(calls).limit(1))

    async def uncharged(self, since: datetime) -> int:
        """Return the microcents that no ledger took."""
        query = select(func.sum(Call.uncharged * 1.0)).where(Call.at >= since, Call.uncharged > 0)
        return int(await self._database.scalar(query) or 0)

    async def balances(self, tenants: Sequence[str]) -> dict[str, Balance]:
        """Return the stored balances by tenant ID."""
        rows = await self._database.scalars(select(Balance).where(Balance.tenant_id.in_(tenants)))
        return {row.tenant_id: row for row in rows}

    async def save_balances(self, balances: Sequence[Balance]) -> None:
        """Write the balances that are newer than the stored ones."""
        put = self._database.insert(Balance)
        new = {name: value for name, value in put.excluded.items() if name not in ("tenant_id", "reported")}
        put = put.on_conflict_do_update(index_elements=["tenant_id"], set_=new, where=put.excluded.at >= Balance.at)
        await self._database.insert_many(put, balances)

    async def move_reported(self, tenant: str, was: int, to: int, alerts: Sequence[Alert]) -> bool:
        """Set the threshold that was reported, and store its alerts. Return False if it is not `was` any more."""
        mine = (Balance.tenant_id == tenant) & (Balance.reported == was)
        query = update(Balance).where(mine).values(reported=to).returning(Balance.tenant_id)
        async with self._database.begin() as session:
            is_ours = await session.scalar(query) is not None
            session.add_all(alerts if is_ours else ())
        return is_ours
