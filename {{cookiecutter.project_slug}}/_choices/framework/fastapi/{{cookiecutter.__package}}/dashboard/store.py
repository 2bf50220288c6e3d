"""Queries of the pages: the table of tenants, sorted and searched by the database, and the audit log."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Select, func, select

from ..calls.models import SERVED, Balance, Call
from ..core.database import Store
from ..tenants.models import Tenant
from .charts import Step, Usage
from .models import AuditEntry
from .query import BLOCKING, DAY, FEWEST_REFUSED, HOUR, SHARES, TOP, TenantBudget, TenantQuery


class DashboardStore(Store):
    """Raises DATABASE_ERRORS (tenants/registry.py) when the database does not answer."""

    async def page(self, query: TenantQuery, hold: int, now: datetime, limit: int) -> list[TenantBudget]:
        """Return a page of the tenants that match; closed ones and those without figures come last.

        `hold` is what a typical call holds, in microcents; `now` is where the windows of recent calls end.
        """
        key = _sorts(now)[query.sort]
        order = (Tenant.status == "closed", (key.desc() if query.order == "desc" else key).nulls_last(), Tenant.id)
        # select whole rows of this page alone: sorting them all takes six times as long
        ids = _matching(select(Tenant.id), query, hold, now).order_by(*order).limit(limit)
        return await self._rows(now, Tenant.id.in_(ids.offset((query.page - 1) * limit)), *order)

    async def find(self, tenant: str, now: datetime) -> TenantBudget | None:
        return next(iter(await self._rows(now, Tenant.id == tenant)), None)

    async def totals(self, query: TenantQuery, hold: int, now: datetime) -> dict[str, int]:
        """Return figures of all pages: the number of `tenants`, of those that need `attention`, are `blocked` or have
        `unknown` balances; sums of the open ones in microcents, `recent` is what they spent in 24 hours.
        """
        is_open = Tenant.status != "closed"
        figures: list[sa.ColumnElement[Any]] = [
            func.count().label("tenants"),
            func.count().filter(_needs_attention(hold, now)).label("attention"),
            func.count().filter(_is_blocked(hold, now)).label("blocked"),
            func.count().filter(is_open, Tenant.onboarded, Balance.tenant_id.is_(None)).label("unknown"),
            func.sum(_recent(now)).filter(is_open).label("recent"),
        ]
        columns = (Balance.allocated, Balance.spent, Balance.reserved, Balance.remaining, Balance.debt)
        figures += [func.sum(column * 1.0).filter(is_open).label(column.key) for column in columns]
        [row] = await self._database.rows(_matching(select(*figures), query, hold, now))
        return {name: int(value or 0) for name, value in row._asdict().items()}

    async def spend(self, query: TenantQuery, hold: int, now: datetime, tenant: str | None = None) -> list[Usage]:
        """Return the calls of the tenants that match by tenant or model, those of one by each of SHARES: see Usage.

        Only the largest have names. Without `tenant` there also is what no ledger took in 24 hours, as `uncharged`.
        """
        bars, cost = query.bars(now), func.sum(Call.cost * 1.0)
        which: sa.ColumnElement[bool] = Call.at >= bars[0]
        if tenant is not None:
            which &= Call.tenant == tenant
        elif query.q or query.show != "all":
            which &= Call.tenant.in_(_matching(select(Tenant.id), query, hold, now))
        bar = sa.case(*((Call.at < end, number) for number, end in enumerate(bars[1:])), else_=len(bars) - 1)
        refusal = sa.case((Call.outcome.not_in(SERVED), Call.outcome))

        def sums(kind: str) -> Select[Any]:
            name = Call.__table__.c[kind]
            largest = select(name).where(which, Call.cost > 0).group_by(name).order_by(cost.desc()).limit(TOP)
            series = sa.case((name.in_(largest), name), (name.is_(None), ""))
            at = bar if kind in ("tenant", "model") else sa.literal(0)  # long expressions take time to compile
            kinds = (sa.literal(kind), at.label("bar"), series.label("series"), refusal.label("refusal"))
            return select(*kinds, cost, func.count()).where(which).group_by("bar", "series", "refusal")

        parts: list[Any] = [*map(sums, SHARES if tenant else (query.by,))]
        if not tenant:
            is_lost, lost = (Call.at >= now - DAY) & (Call.uncharged > 0), func.sum(Call.uncharged * 1.0)
            kinds = (sa.literal("uncharged"), sa.literal(0), sa.null(), Call.outcome)
            parts.append(select(*kinds, lost, func.count()).where(is_lost).group_by(Call.outcome))
        return await self._database.rows(sa.union_all(*parts))

    async def course(self, tenant: str, since: datetime, until: datetime) -> list[Step]:
        """Return what a tenant had remaining after the last call of each hour, and what operators did, oldest first."""
        known = (Call.tenant == tenant) & Call.at.between(since, until) & Call.remaining.is_not(None)
        hour = sa.cast(sa.extract("epoch", Call.at), sa.BigInteger) // 3600
        last = select(func.max(Call.at)).where(known).group_by(hour)
        done = (AuditEntry.tenant == tenant) & AuditEntry.at.between(since, until) & (AuditEntry.outcome == "done")
        actions = select(AuditEntry.at, sa.null(), AuditEntry.action).where(done)
        steps = select(Call.at, Call.remaining, sa.literal("")).where(known, Call.at.in_(last)).union_all(actions)
        return [Step(*row) for row in await self._database.rows(steps.order_by("at"))]

    async def audit(self, query: TenantQuery, limit: int) -> list[AuditEntry]:
        """Return a page of what operators did to all tenants, or to the one with the ID `q`, newest first."""
        entries = select(AuditEntry).order_by(AuditEntry.at.desc(), AuditEntry.id)
        if query.q:
            entries = entries.where(AuditEntry.tenant == query.q)
        return await self._database.scalars(entries.limit(limit).offset((query.page - 1) * limit))

    async def _rows(self, now: datetime, which: sa.ColumnElement[bool], *order: Any) -> list[TenantBudget]:
        figures = (_recent(now), _calls(now - DAY, Call.cost > 0), _refused(now), _calls(now - HOUR))
        query = select(Tenant, Balance, *figures).outerjoin(Balance, Balance.tenant_id == Tenant.id)
        rows = await self._database.rows(query.where(which).order_by(*order))
        return [TenantBudget(tenant, balance, *map(int, figures)) for tenant, balance, *figures in rows]


def _matching(columns: Select[Any], query: TenantQuery, hold: int, now: datetime) -> Select[Any]:
    found = columns.select_from(Tenant).outerjoin(Balance, Balance.tenant_id == Tenant.id)
    if query.q:
        contains = (column.icontains(query.q, autoescape=True) for column in (Tenant.id, Tenant.name))
        found = found.where(sa.or_(*contains))
    shown = {"attention": _needs_attention(hold, now), "blocked": _is_blocked(hold, now)}
    return found.where(shown[query.show]) if query.show in shown else found


def _is_blocked(hold: int, now: datetime) -> sa.ColumnElement[bool]:
    """Suspended, or with calls that are refused."""
    blocked = sa.or_(Balance.debt > Balance.overdraft_limit, Balance.is_over_limit, Balance.remaining < hold)
    return sa.and_(Tenant.status != "closed", sa.or_(Tenant.status != "active", blocked, _refused(now) > 0))


def _needs_attention(hold: int, now: datetime) -> sa.ColumnElement[bool]:
    """Blocked, low or not set up: every state of figures.tenant_state but `ok`."""
    low = Balance.remaining < Balance.allocated / 5
    return sa.and_(Tenant.status != "closed", sa.or_(~Tenant.onboarded, low, _is_blocked(hold, now)))


def _calls(since: datetime, *which: sa.ColumnElement[bool], count: Any = None) -> sa.ScalarSelect[Any]:
    """The number of calls of a tenant, or another sum over them."""
    count = func.count() if count is None else count
    return select(count).where(Call.tenant == Tenant.id, Call.at >= since, *which).scalar_subquery()


def _recent(now: datetime) -> sa.ColumnElement[Any]:
    """Microcents that a tenant spent in 24 hours."""
    return func.coalesce(_calls(now - DAY, count=func.sum(Call.cost * 1.0)), 0.0)


def _refused(now: datetime) -> sa.ColumnElement[Any]:
    """The calls of the last hour that the budget refused if they block the tenant, otherwise 0.

    They do if they are more than half of at least FEWEST_REFUSED calls since an operator last did anything, and no
    call was served after the last of them.
    """
    is_done = (AuditEntry.outcome == "done") & (AuditEntry.action != "link")
    acted = select(func.max(AuditEntry.at)).where(AuditEntry.tenant == Tenant.id, is_done).correlate(Tenant)
    is_refused = Call.outcome.in_(BLOCKING)
    refused, last = func.count().filter(is_refused), func.max(Call.at).filter(is_refused)
    served = func.max(Call.at).filter(Call.outcome.in_(SERVED))
    is_blocked = sa.and_(refused >= FEWEST_REFUSED, refused * 2 > func.count(), sa.or_(served.is_(None), served < last))
    since_acted = Call.at > func.coalesce(acted.scalar_subquery(), now - HOUR)
    return _calls(now - HOUR, since_acted, count=sa.case((is_blocked, refused), else_=0))


def _sorts(now: datetime) -> dict[str, sa.SQLColumnExpression[Any]]:
    return {
        "name": func.lower(Tenant.name),
        "percent": Balance.remaining * 1.0 / func.nullif(Balance.allocated, 0),
        "spent": Balance.spent,
        "reserved": Balance.reserved,
        "remaining": Balance.remaining,
        "burn": _recent(now),
        "runs_out": Balance.remaining / func.nullif(_recent(now), 0.0),
    }
