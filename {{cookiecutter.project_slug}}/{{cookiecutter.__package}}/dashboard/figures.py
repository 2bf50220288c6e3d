"""Figures of the pages: balances from memory or database, everything else from the record of calls."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from ..budget.balances import Ledger, depth
from ..calls.models import Balance
from ..calls.query import CallQuery
from ..core.problems import Problem
from ..tenants.findings import EXPIRES_SOON
from .charts import HOUR, REFUSAL_HOURS, Burndown, month_of, refusal_chart
from .query import TenantBudget, TenantQuery, this_minute
from .service import Dashboard

Context = dict[str, Any]
"""Variables of a template."""

TENANTS_PER_PAGE = 50
LATEST_CALLS = 10
TOP_SPENDERS = 6
AUDIT_PER_PAGE = 100
EXPIRING_KEYS = 5


def ledger_state(ledger: Ledger | Balance, hold: int) -> str:
    """Return what blocks calls that hold so many microcents, else how much remains: a state in macros.html."""
    if ledger.is_over_limit or ledger.debt > ledger.overdraft_limit:
        return "over_limit"
    if ledger.remaining < hold:
        return "short"
    return "low" if ledger.remaining * 5 < ledger.allocated else "ok"


def tenant_state(row: TenantBudget, hold: int) -> str:
    """Return a state in macros.html."""
    if row.tenant.status != "active":
        return row.tenant.status
    if row.balance:
        return ledger_state(row.balance, hold)
    return "unknown" if row.trouble else "incomplete"


def query_of(params: Mapping[str, str]) -> TenantQuery:
    """Return the query in a query string. Raises Problem invalid_request."""
    try:
        return TenantQuery.model_validate(params)
    except ValidationError:
        raise Problem("invalid_request") from None


async def overview(dashboard: Dashboard, asked: TenantQuery) -> Context:
    """Return the context of overview.html: a page of the tenants that match, or the last one, and totals of all."""
    store, hold, now = dashboard.store, dashboard.typical_hold, this_minute()
    first = asked.model_copy(update={"page": 1})
    totals = await dashboard.cache.load(first, lambda: store.totals(first, hold, now))
    pages = max(1, -(-totals["tenants"] // TENANTS_PER_PAGE))
    query = asked.model_copy(update={"page": min(asked.page, pages)})
    rows = await dashboard.refresh(await store.page(query, hold, now, TENANTS_PER_PAGE))
    operations = await dashboard.cache.load("operations", lambda: _operations(dashboard))
    return {"query": query, "pages": pages, "rows": rows, "totals": totals, "operations": operations, "hold": hold}


async def tenant_page(dashboard: Dashboard, tenant_id: str) -> Context:
    """Return the context of tenant.html. Raises Problem not_found."""
    row = await find_tenant(dashboard, tenant_id)
    known = dashboard.services.balances.known(tenant_id)
    return {
        "row": row,
        "hold": dashboard.typical_hold,
        "ledgers": sorted(known.ledgers.values(), key=depth) if known else [],
        "calls": await dashboard.services.store.latest(CallQuery(tenant=tenant_id), LATEST_CALLS),
        **await dashboard.cache.load(("month", tenant_id), lambda: _month(dashboard, row)),
    }


async def find_tenant(dashboard: Dashboard, tenant_id: str) -> TenantBudget:
    """Return the tenant with a fresh balance. Raises Problem not_found."""
    await check_tenant(dashboard, tenant_id)
    (row,) = await dashboard.refresh([await dashboard.store.find(tenant_id, this_minute())])
    return row


async def check_tenant(dashboard: Dashboard, tenant_id: str) -> None:
    """Raise Problem not_found unless the tenant exists."""
    if await dashboard.services.registry.tenant(tenant_id) is None:
        raise Problem("not_found", "This tenant does not exist.")


async def _operations(dashboard: Dashboard) -> Context:
    """Return what needs an operator. `is_cut_off` is this process's, the rest is of all processes."""
    services, now = dashboard.services, datetime.now(UTC)
    since = now.replace(minute=0, second=0, microsecond=0) - HOUR * (REFUSAL_HOURS - 1)
    return {
        "is_cut_off": services.clients.breaker.is_open,
        "backlog": services.outbox.backlog(),
        "uncharged": await services.store.uncharged(now - timedelta(hours=24)),
        "expiring": await services.registry.keys_that_expire(now + EXPIRES_SOON, EXPIRING_KEYS),
        "refusals": refusal_chart(await services.store.refusals(since), since),
    }


async def _month(dashboard: Dashboard, row: TenantBudget) -> Context:
    """Return this month's top spenders and, given a budget, its burn-down chart."""
    now, store, tenant, chart = this_minute(), dashboard.services.store, row.tenant, None
    first, end = month_of(now)
    if row.balance and row.balance.allocated > 0:
        begin = min(max(first, tenant.created_at), now)
        points = [*await store.remaining(tenant.id, begin, now), (now, row.balance.remaining)]
        chart = Burndown(begin=begin, end=end, allocated=row.balance.allocated, burn=row.burn, points=points)
    kinds = ("model", "route", "end_user")
    shares = {kind: await store.shares(tenant.id, kind, first, TOP_SPENDERS) for kind in kinds}
    return {"chart": chart, "shares": shares}
