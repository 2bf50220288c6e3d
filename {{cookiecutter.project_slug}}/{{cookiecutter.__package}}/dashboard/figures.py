"""Figures of the pages: balances from memory or database, everything else from the record of calls."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from ..budget.balances import Ledger, depth
from ..calls.models import Balance
from ..core.problems import Problem
from ..tenants.findings import EXPIRES_SOON
from ..tenants.periods import period_at
from . import charts
from .forecasts import Forecast, forecast
from .query import DAY, TOP, TenantBudget, TenantQuery, this_minute
from .service import Dashboard

Context = dict[str, Any]
"""Variables of a template."""

TENANTS_PER_PAGE = 25
LATEST_CALLS = 50
AUDIT_PER_PAGE = 100
EXPIRING_KEYS = 5
BLOCKED = ("short", "over_limit", "refused", "suspended")


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
    return "refused" if row.refused and state not in BLOCKED else state


def runs_out(row: TenantBudget, hold: int) -> Forecast | None:
    """Return when the budget runs out, or None if calls are refused already or nothing is spent."""
    return forecast(row) if tenant_state(row, hold) in ("ok", "low") else None


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
    unsorted = first.model_copy(update={"sort": "name", "order": "asc"})
    usage = await dashboard.sums(unsorted, lambda: store.spend(first, hold, now))
    return {
        "query": query,
        "pages": pages,
        "rows": rows,
        "totals": totals,
        "spend": charts.spend_chart(usage, query.bars(now)),
        "operations": await dashboard.cache.load("operations", lambda: _operations(dashboard)),
        "hold": hold,
    }


async def tenant_page(dashboard: Dashboard, tenant_id: str, query: TenantQuery) -> Context:
    """Return the context of tenant.html. Raises Problem not_found."""
    row = await find_tenant(dashboard, tenant_id)
    known = dashboard.services.balances.known(tenant_id)
    return {
        "query": query,
        "row": row,
        "hold": dashboard.typical_hold,
        "ledgers": sorted(known.ledgers.values(), key=depth) if known else [],
        "calls": await dashboard.services.store.latest(tenant_id, LATEST_CALLS),
        "chart": await dashboard.sums(("period", tenant_id), lambda: _period(dashboard, row)),
        **await dashboard.sums((tenant_id, query.span), lambda: _spend(dashboard, tenant_id, query)),
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
    return {
        "is_cut_off": services.clients.breaker.is_open,
        "backlog": services.outbox.backlog(),
        "uncharged": await services.store.uncharged(now - DAY),
        "expiring": await services.registry.keys_that_expire(now + EXPIRES_SOON, EXPIRING_KEYS),
    }


async def _spend(dashboard: Dashboard, tenant_id: str, query: TenantQuery) -> Context:
    """Return a tenant's spend over time, and what took it."""
    bars = query.bars(this_minute())
    usage = await dashboard.store.spend_of(tenant_id, bars)
    models, routes = charts.shares(usage, "series"), charts.shares(usage, "route")
    users = await dashboard.services.store.shares(tenant_id, "end_user", bars[0], TOP)
    tops = {"model": models, "route": routes, "end_user": users}
    return {
        "spend": charts.spend_chart(usage, bars),
        "shares": {kind: charts.with_others(rows, models) for kind, rows in tops.items()},
    }


async def _period(dashboard: Dashboard, row: TenantBudget) -> charts.Burndown | None:
    """Return the chart of this month's budget, or of the current period's if it renews, or None without a budget."""
    now, tenant, balance = this_minute(), row.tenant, row.balance
    if not balance or balance.allocated <= 0:
        return None
    first, end = charts.month_of(now)
    if tenant.every != "none":
        period = period_at(tenant.every, tenant.time_zone, now)
        first, end = period.start, period.end
    begin = min(max(first, tenant.created_at), now)
    known = await dashboard.services.store.remaining(tenant.id, begin, now)
    log = await dashboard.store.audit(TenantQuery(q=tenant.id), AUDIT_PER_PAGE)
    done = [charts.Change.of(entry.at, entry.action) for entry in reversed(log) if entry.outcome == "done"]
    changes = [change for change in done if change and begin < change.at <= now]
    expected = runs_out(row, dashboard.typical_hold)
    burn = row.burn if expected and expected.at else 0
    points = [*known, (now, balance.remaining)]
    return charts.burndown(points, changes, begin, end, allocated=balance.allocated, burn=burn)
