"""What the pages keep in the database, and what they read of it: pages of the table of tenants, sorted and searched."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, TypeVarTuple

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, and_, case, delete, func, or_, select, update

from ..core.database import Database, execute_many
from ..tenants.models import Tenant
from .models import AuditRow, HourlyBalanceRow, StandingRow
from .records import SHORTEST_RATE_S, AuditEntry, HourlyBalance, Reckoning, Standing, TenantStanding, Wanted

Ts = TypeVarTuple("Ts")


class DashboardStore:
    """Raises DATABASE_ERRORS (tenants/registry.py) when the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, wanted: Wanted, by: Reckoning, limit: int) -> list[TenantStanding]:
        """A page of the tenants that match, in the order that is wanted; closed ones and those without figures last."""
        key = _sorts(by)[wanted.sort]
        ordered = (key.desc() if wanted.descending else key).nulls_last()
        order = (Tenant.status == "closed", ordered, Tenant.id)
        # whole rows of this page alone: sorting them all takes six times as long
        ids = _matching(select(Tenant.id), wanted, by).order_by(*order)
        ids = ids.limit(limit).offset((wanted.page - 1) * limit)
        rows = select(Tenant, StandingRow).outerjoin(StandingRow, StandingRow.tenant == Tenant.id)
        query = rows.where(Tenant.id.in_(ids)).order_by(*order)
        async with self._database.session() as session:
            return [
                TenantStanding(tenant, Standing(**standing.values()) if standing else None)
                for tenant, standing in await session.execute(query)
            ]

    async def totals(self, wanted: Wanted, by: Reckoning) -> dict[str, int]:
        """Over all that match, whatever the page: how many `tenants` there are, how many need `attention`, and of
        how many the figures are `unknown`; sums in microcents of those not closed, `burn` per hour.
        """
        is_open = Tenant.status != "closed"
        unknown = is_open & Tenant.onboarded & StandingRow.tenant.is_(None)
        burn = func.sum(func.coalesce(_burn(by), 0)).filter(is_open)
        columns = (StandingRow.allocated, StandingRow.spent, StandingRow.reserved, StandingRow.remaining)
        figures = [func.count().label("tenants"), burn.label("burn")]
        for name, which in (("attention", _attention(by)), ("unknown", unknown)):
            figures.append(func.count().filter(which).label(name))
        figures += [func.sum(column).filter(is_open).label(column.key) for column in (*columns, StandingRow.debt)]
        async with self._database.session() as session:
            row = (await session.execute(_matching(select(*figures), wanted, by))).one()
        return {name: int(value or 0) for name, value in row._asdict().items()}

    async def standings(self, tenants: Iterable[str]) -> dict[str, Standing]:
        """By tenant ID, of those of which something was heard."""
        query = select(StandingRow.__table__).where(StandingRow.tenant.in_(tenants))
        async with self._database.session() as session:
            return {row["tenant"]: Standing(**row) for row in (await session.execute(query)).mappings()}

    async def save(self, standings: list[Standing], hours: list[HourlyBalance]) -> None:
        """Put these in the place of what is there, but for standings that another process has heard of since."""
        put = self._database.upsert(StandingRow, keep=("alerted", "claimed_at"), latest_by="at")
        async with self._database.begin() as session:
            await execute_many(session, put, standings)
            await execute_many(session, self._database.upsert(HourlyBalanceRow), hours)

    async def move_alert(self, tenant: str, was: int, to: int) -> bool:
        """Change what a tenant's standing has as `alerted`; False when that is not `was` any more."""
        mine = (StandingRow.tenant == tenant) & (StandingRow.alerted == was)
        query = update(StandingRow).where(mine).values(alerted=to).returning(StandingRow.tenant)
        async with self._database.begin() as session:
            return await session.scalar(query) is not None

    async def claim(self, tenants: list[str], now: int, before: int) -> set[str]:
        """Mark those of the tenants that no process has claimed after `before`; seconds since 1970."""
        unclaimed = StandingRow.tenant.in_(tenants) & (StandingRow.claimed_at <= before)
        query = update(StandingRow).where(unclaimed).values(claimed_at=now).returning(StandingRow.tenant)
        async with self._database.begin() as session:
            return set(await session.scalars(query))

    async def hours(self, tenant: str, since: int) -> list[HourlyBalance]:
        """A tenant's hourly balances from the hour `since` on, oldest first."""
        query = select(HourlyBalanceRow).where(HourlyBalanceRow.tenant == tenant, HourlyBalanceRow.hour >= since)
        async with self._database.session() as session:
            rows = await session.scalars(query.order_by(HourlyBalanceRow.hour))
            return [HourlyBalance(**row.values()) for row in rows]

    async def prune(self, keep_newest: int, before_hour: int) -> None:
        """Delete hourly balances: those before an hour, and those of the oldest hours but for `keep_newest` rows."""
        hour = HourlyBalanceRow.hour
        newest_to_go = select(hour).order_by(hour.desc()).offset(keep_newest).limit(1).scalar_subquery()
        async with self._database.begin() as session:
            await session.execute(delete(HourlyBalanceRow).where(or_(hour < before_hour, hour <= newest_to_go)))

    async def add_audit(self, entry: AuditEntry) -> None:
        """Write an action down, or what became of it."""
        async with self._database.begin() as session:
            await session.merge(AuditRow(**asdict(entry)))

    async def audit(self, tenant: str | None, limit: int, offset: int = 0) -> list[AuditEntry]:
        """What operators did to a tenant, or to all (None), newest first."""
        query = select(AuditRow).order_by(AuditRow.at.desc(), AuditRow.id).limit(limit).offset(offset)
        if tenant is not None:
            query = query.where(AuditRow.tenant == tenant)
        async with self._database.session() as session:
            return [AuditEntry(**row.values()) for row in await session.scalars(query)]


def _matching(query: Select[*Ts], wanted: Wanted, by: Reckoning) -> Select[*Ts]:
    query = query.select_from(Tenant).outerjoin(StandingRow, StandingRow.tenant == Tenant.id)
    if wanted.query:
        contains = (column.icontains(wanted.query, autoescape=True) for column in (Tenant.id, Tenant.name))
        query = query.where(or_(*contains))
    return query.where(_attention(by)) if wanted.attention else query


def _attention(by: Reckoning) -> ColumnElement[bool]:
    """Blocked, nearly used up or not set up: what figures.LedgerRow.state calls otherwise than ok."""
    ledger = StandingRow
    short = or_(ledger.debt > ledger.overdraft_limit, ledger.is_over_limit, ledger.remaining < by.call)
    low = or_(ledger.remaining <= 0, ledger.remaining < ledger.allocated / 5)
    return and_(Tenant.status != "closed", or_(Tenant.status != "active", ~Tenant.onboarded, short, low))


def _burn(by: Reckoning) -> ColumnElement[Any]:
    """Microcents per hour, as sampler.burn_of reckons."""
    age = by.now - StandingRow.mark_at
    used = StandingRow.spent + StandingRow.debt - StandingRow.mark_used
    return used * 3600.0 / case((age < SHORTEST_RATE_S, SHORTEST_RATE_S), else_=age)


def _sorts(by: Reckoning) -> dict[str, SQLColumnExpression[Any]]:
    return {
        "name": func.lower(Tenant.name),
        "left": StandingRow.remaining * 1.0 / func.nullif(StandingRow.allocated, 0),
        "spent": StandingRow.spent,
        "reserved": StandingRow.reserved,
        "remaining": StandingRow.remaining,
        "burn": _burn(by),
        "runs_out": StandingRow.remaining / func.nullif(_burn(by), 0),
    }
