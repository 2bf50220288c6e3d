"""Queries of the pages: the table of tenants, sorted and searched by the database, and the audit log."""

from datetime import datetime, timedelta
from typing import Any, TypeVarTuple

from sqlalchemy import ColumnElement, Select, SQLColumnExpression, and_, func, or_, select

from ..calls.models import Balance, Call
from ..core.database import Database
from ..tenants.models import Tenant
from .models import AuditEntry
from .query import BURN_HOURS, TenantBudget, TenantQuery

Ts = TypeVarTuple("Ts")


class DashboardStore:
    """Raises DATABASE_ERRORS (tenants/registry.py) when the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, query: TenantQuery, hold: int, now: datetime, limit: int) -> list[TenantBudget]:
        """Return a page of the tenants that match; closed ones and those without figures come last.

        `hold` is what a typical call holds, in microcents; `now` is where the window of burn rates ends.
        """
        key = _sorts(now)[query.sort]
        order = (
            Tenant.status == "closed",
            (key.desc() if query.order == "desc" else key).nulls_last(),
            Tenant.id,
        )
        # select whole rows of this page alone: sorting them all takes six times as long
        ids = _matching(select(Tenant.id), query, hold).order_by(*order).limit(limit)
        return await self._rows(now, Tenant.id.in_(ids.offset((query.page - 1) * limit)), *order)

    async def find(self, tenant: str, now: datetime) -> TenantBudget:
        """Return a tenant that exists."""
        (row,) = await self._rows(now, Tenant.id == tenant)
        return row

    async def totals(self, query: TenantQuery, hold: int, now: datetime) -> dict[str, int]:
        """Return figures of all pages: the number of `tenants`, of those that need `attention` and of those with
        `unknown` balances; sums of the open ones in microcents, `burn` per hour.
        """
        is_open = Tenant.status != "closed"
        figures: list[ColumnElement[Any]] = [
            func.count().label("tenants"),
            func.count().filter(_needs_attention(hold)).label("attention"),
            func.count().filter(is_open, Tenant.onboarded, Balance.tenant_id.is_(None)).label("unknown"),
            func.sum(_burn(now)).filter(is_open).label("burn"),
        ]
        columns = (Balance.allocated, Balance.spent, Balance.reserved, Balance.remaining, Balance.debt)
        figures += [func.sum(column * 1.0).filter(is_open).label(column.key) for column in columns]
        async with self._database.session() as session:
            row = (await session.execute(_matching(select(*figures), query, hold))).one()
        return {name: int(value or 0) for name, value in row._asdict().items()}

    async def audit(self, query: TenantQuery, limit: int) -> list[AuditEntry]:
        """Return a page of what operators did to all tenants, or to the one with the ID `q`, newest first."""
        entries = select(AuditEntry).order_by(AuditEntry.at.desc(), AuditEntry.id)
        if query.q:
            entries = entries.where(AuditEntry.tenant == query.q)
        async with self._database.session() as session:
            return list(await session.scalars(entries.limit(limit).offset((query.page - 1) * limit)))

    async def _rows(self, now: datetime, which: ColumnElement[bool], *order: Any) -> list[TenantBudget]:
        query = select(Tenant, Balance, _burn(now)).outerjoin(Balance, Balance.tenant_id == Tenant.id)
        async with self._database.session() as session:
            rows = await session.execute(query.where(which).order_by(*order))
            return [TenantBudget(tenant, balance, int(burn)) for tenant, balance, burn in rows]


def _matching(columns: Select[*Ts], query: TenantQuery, hold: int) -> Select[*Ts]:
    found = columns.select_from(Tenant).outerjoin(Balance, Balance.tenant_id == Tenant.id)
    if query.q:
        contains = (column.icontains(query.q, autoescape=True) for column in (Tenant.id, Tenant.name))
        found = found.where(or_(*contains))
    return found.where(_needs_attention(hold)) if query.show == "attention" else found


def _needs_attention(hold: int) -> ColumnElement[bool]:
    """Blocked, low or not set up: every state of figures.ledger_state but `ok`."""
    blocked = or_(Balance.debt > Balance.overdraft_limit, Balance.is_over_limit, Balance.remaining < hold)
    low = Balance.remaining < Balance.allocated / 5
    return and_(Tenant.status != "closed", or_(Tenant.status != "active", ~Tenant.onboarded, blocked, low))


def _burn(now: datetime) -> ColumnElement[Any]:
    """Microcents per hour, the average of BURN_HOURS."""
    recent = (Call.tenant == Tenant.id) & (Call.at >= now - timedelta(hours=BURN_HOURS))
    return func.coalesce(select(func.sum(Call.cost * 1.0)).where(recent).scalar_subquery(), 0) * 1.0 / BURN_HOURS


def _sorts(now: datetime) -> dict[str, SQLColumnExpression[Any]]:
    return {
        "name": func.lower(Tenant.name),
        "percent": Balance.remaining * 1.0 / func.nullif(Balance.allocated, 0),
        "spent": Balance.spent,
        "reserved": Balance.reserved,
        "remaining": Balance.remaining,
        "burn": _burn(now),
        "runs_out": Balance.remaining / func.nullif(_burn(now), 0.0),
    }
