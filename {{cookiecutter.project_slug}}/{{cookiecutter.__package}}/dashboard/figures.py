"""Figures of the pages: balances from memory or database, everything else from the record of calls."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ..budget.balances import Ledger, depth
from ..calls.models import Balance
from ..calls.query import CallQuery
from ..core.problems import Problem
from ..tenants.findings import EXPIRES_SOON
from ..tenants.periods import period_at
from .charts import Burndown, spend_chart
from .query import SHARES, TenantBudget, TenantQuery, this_minute
from .service import Dashboard

Context = dict[str, Any]
"""Variables of a template."""

TENANTS_PER_PAGE = 25
LATEST_CALLS = 10
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
    """Return a state in macros.html. Refused calls block a tenant whatever its balance says."""
    if row.tenant.status != "active":
        return row.tenant.status
    state = ledger_state(row.balance, hold) if row.balance else "unknown" if row.trouble else "incomplete"
    return "refused" if row.refused and state not in ("short", "over_limit") else state


async def overview(dashboard: Dashboard, asked: TenantQuery) -> Context:
    """Return the context of overview.html: a page of the tenants that match, or the last one, and totals of all."""
    store, hold, now = dashboard.store, dashboard.typical_hold, this_minute()
    totals = await dashboard.cache.load((asked.q, asked.show), lambda: store.totals(asked, hold, now))
    pages = max(1, -(-totals["tenants"] // TENANTS_PER_PAGE))
    query = asked.model_copy(update={"page": min(asked.page, pages)})
    rows = await dashboard.refresh(await store.page(query, hold, now, TENANTS_PER_PAGE))
    health = await dashboard.cache.load("health", lambda: _health(dashboard))
    key = ("spend", query.span, query.by, query.q, query.show)
    charts = await dashboard.sums(key, lambda: _spend(dashboard, query, (query.by, "uncharged")))
    shown = {"query": query, "pages": pages, "rows": rows, "totals": totals, "spend": charts[query.by]}
    return {**shown, "uncharged": charts["uncharged"]["sums"][0], "health": health, "hold": hold}


async def tenant_page(dashboard: Dashboard, tenant_id: str, query: TenantQuery) -> Context:
    """Return the context of tenant.html. Raise Problem not_found."""
    row = await find_budget(dashboard, tenant_id)
    known = dashboard.services.balances.known(tenant_id)
    return {
        "query": query,
        "row": row,
        "hold": dashboard.typical_hold,
        "ledgers": sorted(known.ledgers.values(), key=depth) if known else [],
        "calls": await dashboard.services.store.latest(CallQuery(tenant=tenant_id), LATEST_CALLS),
        "chart": await dashboard.sums(("period", tenant_id), lambda: _period(dashboard, row)),
        "spend": await dashboard.sums((tenant_id, query.span), lambda: _spend(dashboard, query, SHARES, tenant_id)),
    }


async def find_budget(dashboard: Dashboard, tenant_id: str) -> TenantBudget:
    """Return a tenant and its fresh balance. Raise Problem not_found."""
    # PostgreSQL refuses NUL
    row = await dashboard.store.find(tenant_id, this_minute()) if tenant_id.isprintable() else None
    if row is None:
        raise Problem("not_found", "This tenant does not exist.")
    return (await dashboard.refresh([row]))[0]


async def _health(dashboard: Dashboard) -> Context:
    """Return what needs an operator. `is_cut_off` is this process's, the rest is of all processes."""
    services, now = dashboard.services, datetime.now(UTC)
    return {
        "is_cut_off": services.clients.breaker.is_open,
        "backlog": services.outbox.backlog(),
        "expiring": await services.registry.keys_that_expire(now + EXPIRES_SOON, EXPIRING_KEYS),
    }


async def _spend(dashboard: Dashboard, query: TenantQuery, kinds: Iterable[str], tenant: str | None = None) -> Context:
    """Return the spend over time of the tenants that match, or of one: a chart by kind of Usage."""
    now = this_minute()
    usage, bars = await dashboard.store.spend(query, dashboard.typical_hold, now, tenant), query.bars(now)
    return {kind: spend_chart((each for each in usage if each[0] == kind), bars) for kind in kinds}


async def _period(dashboard: Dashboard, row: TenantBudget) -> Burndown | None:
    """Return the chart of this month's budget, or of the current period's if it renews, or None without a budget."""
    now, tenant = this_minute(), row.tenant
    if not row.balance or row.balance.allocated <= 0:
        return None
    period = period_at("month" if tenant.every == "none" else tenant.every, tenant.time_zone, now)
    begin, end = min(max(period.start, tenant.created_at), now), period.end
    steps = await dashboard.store.course(tenant.id, begin, now)
    points = [(step.at, step.remaining) for step in steps if step.remaining is not None]
    points.append((now, row.balance.remaining))
    changes = [step for step in steps if step.action]
    burn = row.burn if tenant_state(row, dashboard.typical_hold) in ("ok", "low") else 0
    return Burndown(begin=begin, end=end, allocated=row.balance.allocated, burn=burn, points=points, changes=changes)
