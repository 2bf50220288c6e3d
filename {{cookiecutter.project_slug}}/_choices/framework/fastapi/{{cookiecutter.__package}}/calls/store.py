"""Guarded calls and balances in the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVarTuple

from sqlalchemy import BigInteger, Row, Select, cast, delete, extract, func, or_, select, tuple_, update

from ..core.database import Database, execute_many
from .models import SERVED, Balance, Call, calls

Ts = TypeVarTuple("Ts")

COLUMNS = calls.c
HOUR = cast(extract("epoch", COLUMNS.at), BigInteger) // 3600


class CallStore:
    """Raises sqlalchemy.exc.SQLAlchemyError or OSError when the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def insert(self, records: Sequence[Call]) -> None:
        """Write a batch. Rows that exist already stay as they are."""
        if records:
            async with self._database.begin() as session:
                await execute_many(session, self._database.insert(calls).on_conflict_do_nothing(), records)

    async def amend(self, tenant: str, reservation_id: str, uncharged: int) -> None:
        """Set the microcents that no ledger took of a call's cost, if the call does not say so already."""
        call = (COLUMNS.tenant == tenant) & (COLUMNS.reservation_id == reservation_id) & (COLUMNS.uncharged == 0)
        query = update(calls).where(call).values(uncharged=uncharged, cost=COLUMNS.cost - uncharged)
        async with self._database.begin() as session:
            await session.execute(query)

    async def prune(self, keep_newest: int, older_than: datetime) -> None:
        """Delete rows older than a time, and all but the newest `keep_newest` rows."""
        newest_to_go = select(COLUMNS.at).order_by(COLUMNS.at.desc()).offset(keep_newest).limit(1).scalar_subquery()
        async with self._database.begin() as session:
            await session.execute(delete(calls).where(or_(COLUMNS.at < older_than, COLUMNS.at <= newest_to_go)))

    async def latest(self, tenant: str | None, limit: int, before: Call | None = None) -> list[Call]:
        """Return the newest calls of a tenant, or of all (None), newest first, older than `before` if given."""
        query = select(calls).order_by(COLUMNS.at.desc(), COLUMNS.id.desc()).limit(limit)
        if tenant is not None:
            query = query.where(COLUMNS.tenant == tenant)
        if before is not None:
            query = query.where(tuple_(COLUMNS.at, COLUMNS.id) < (before.at, before.id))
        return [Call(**row._asdict()) for row in await self._read(query)]

    async def refusals(self, since: datetime) -> dict[tuple[int, str], int]:
        """Return the number of refused calls by (hour since 1970, reason)."""
        query = select(HOUR, COLUMNS.outcome, func.count()).where(COLUMNS.at >= since, COLUMNS.outcome.not_in(SERVED))
        rows = await self._read(query.group_by(HOUR, COLUMNS.outcome))
        return {(hour, outcome): count for hour, outcome, count in rows}

    async def uncharged(self, since: datetime) -> int:
        """Return the microcents that no ledger took."""
        query = select(func.sum(COLUMNS.uncharged)).where(COLUMNS.at >= since, COLUMNS.uncharged > 0)
        ((total,),) = await self._read(query)
        return int(total or 0)

    async def shares(self, tenant: str, kind: str, since: datetime, limit: int) -> list[tuple[str | None, int, int]]:
        """Return (name, cost, calls) of a tenant's top spenders by `kind` (model, route or end_user)."""
        name, cost = COLUMNS[kind], func.sum(COLUMNS.cost)
        query = select(name, cost, func.count()).where(COLUMNS.tenant == tenant, COLUMNS.at >= since, COLUMNS.cost > 0)
        rows = await self._read(query.group_by(name).order_by(cost.desc()).limit(limit))
        return [(name, int(cost), count) for name, cost, count in rows]

    async def remaining(self, tenant: str, since: datetime, until: datetime) -> list[tuple[datetime, int]]:
        """Return what a tenant had remaining, in microcents, after the last call of each hour, oldest first."""
        known = (COLUMNS.tenant == tenant) & COLUMNS.at.between(since, until) & COLUMNS.remaining.is_not(None)
        last = select(func.max(COLUMNS.at)).where(known).group_by(HOUR)
        query = select(COLUMNS.at, COLUMNS.remaining).where(known, COLUMNS.at.in_(last)).order_by(COLUMNS.at)
        return [(at, remaining) for at, remaining in await self._read(query)]

    async def balances(self, tenants: Sequence[str]) -> dict[str, Balance]:
        """Return the stored balances by tenant ID."""
        async with self._database.session() as session:
            rows = await session.scalars(select(Balance).where(Balance.tenant_id.in_(tenants)))
            return {row.tenant_id: row for row in rows}

    async def save_balances(self, balances: Sequence[Balance]) -> None:
        """Write the balances that are newer than the stored ones."""
        put = self._database.insert(Balance)
        new = {name: value for name, value in put.excluded.items() if name not in ("tenant_id", "reported")}
        put = put.on_conflict_do_update(index_elements=["tenant_id"], set_=new, where=put.excluded.at >= Balance.at)
        async with self._database.begin() as session:
            await execute_many(session, put, balances)

    async def move_reported(self, tenant: str, was: int, to: int) -> bool:
        """Set the spend that was reported. Return False if it is not `was` any more."""
        mine = (Balance.tenant_id == tenant) & (Balance.reported == was)
        query = update(Balance).where(mine).values(reported=to).returning(Balance.tenant_id)
        async with self._database.begin() as session:
            return await session.scalar(query) is not None

    async def _read(self, query: Select[*Ts]) -> Sequence[Row[*Ts]]:
        async with self._database.session() as session:
            return (await session.execute(query)).all()
