"""Figures of the pages: balances from memory or database, everything else from the record of calls."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from ..budget.balances import Ledger, depth
from ..calls.models import Balance
from ..core.problems import OUTCOMES, Problem
from ..tenants.findings import EXPIRES_SOON
from ..tenants.records import Tenant
from .charts import burndown, month_of, refusal_chart
from .query import FIRST_SORT, SORTS, TenantBudget, TenantQuery
from .service import Dashboard

Context = dict[str, Any]
"""Variables of a template."""

TENANTS_PER_PAGE = 50
LATEST_CALLS = 50
LATEST_ACTIONS = 5
TOP_SPENDERS = 6
AUDIT_PER_PAGE = 100
SHORT_LISTS = 5
LONGEST_S = 365 * 86_400
"""Budgets that last longer show no end."""
REFUSALS_OF_H = 24

STATES = {
    "ok": "OK",
    "low": "Below 20%",
    "critical": "Below 5%",
    "short": "Blocked: too little remaining",
    "used_up": "Blocked: used up",
    "in_debt": "Blocked: in debt",
    "over_limit": "Blocked: over limit",
    "suspended": "Blocked: suspended",
    "closed": "Closed",
    "incomplete": "Not set up",
    "unknown": "Unknown",
}


class Segment(NamedTuple):
    """A part of a bar; start and width in per cent."""

    kind: str
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A ledger as it is shown. `hold` is what a typical call holds, in microcents."""

    ledger: Ledger | Balance
    hold: int

    @property
    def state(self) -> str:
        """A key of STATES: what blocks calls, in the engine's order, else how much remains."""
        ledger = self.ledger
        checks = {
            "in_debt": ledger.debt > ledger.overdraft_limit,
            "over_limit": ledger.is_over_limit,
            "used_up": ledger.remaining <= 0,
            "short": ledger.remaining < self.hold,
            "critical": ledger.remaining * 20 < ledger.allocated,
            "low": ledger.remaining * 5 < ledger.allocated,
        }
        return next((state for state, applies in checks.items() if applies), "ok")

    @property
    def percent(self) -> int:
        """Per cent of the allocation that remain, rounded down."""
        return max(0, self.ledger.remaining) * 100 // self.ledger.allocated if self.ledger.allocated else 0

    @property
    def bar(self) -> list[Segment]:
        """Spent, overdraft, reserved and remaining side by side, without those that are zero."""
        ledger = self.ledger
        parts = {"spent": ledger.spent, "overdraft": ledger.debt, "reserved": ledger.reserved}
        parts["remaining"] = max(0, ledger.remaining)
        scale, start, segments = 100 / (sum(parts.values()) or 1), 0, []
        for kind, amount in parts.items():
            if amount > 0:
                segments.append(Segment(kind, round(start * scale, 2), round(amount * scale, 2)))
            start += amount
        return segments


class TenantRow(NamedTuple):
    """A tenant with its widest ledger, which bounds all others.

    `state` is a key of STATES; `burn` is in microcents per hour; `seconds_left` and `runs_out` say how long the budget
    lasts at that rate. `trouble` says why the figures could not be brought up to date.
    """

    tenant: Tenant
    state: str
    budget: LedgerRow | None
    burn: int
    seconds_left: float
    runs_out: datetime | None
    as_of: datetime | None
    trouble: str | None


def query_of(dashboard: Dashboard, params: Mapping[str, str]) -> TenantQuery:
    """Return what the query string asks of the table. Raises Problem invalid_request."""
    sort, page = params.get("sort", FIRST_SORT), params.get("page", "1")
    text = params.get("q", "").strip()
    if sort not in SORTS or not page.isdecimal() or len(page) > 6 or len(text) > 200 or not text.isprintable():
        raise Problem("invalid_request")
    return TenantQuery(
        text=text,
        sort=sort,
        descending=params.get("order") == "desc",
        attention=params.get("show") == "attention",
        page=max(1, int(page)),
        hold=dashboard.typical_hold,
        now=_now(),
    )


async def overview(dashboard: Dashboard, query: TenantQuery) -> Context:
    """Return the context of overview.html: a page of the tenants that match, or the last one, and totals of all."""
    found = await dashboard.store.page(query, TENANTS_PER_PAGE)
    troubles = await dashboard.refresh(found)
    all_pages = replace(query, page=1)
    totals = await dashboard.cache.load(all_pages, lambda: dashboard.store.totals(all_pages))
    pages = max(1, -(-totals["tenants"] // TENANTS_PER_PAGE))
    if query.page > pages:
        return await overview(dashboard, replace(query, page=pages))
    return {
        "query": query,
        "pages": pages,
        "rows": [_row(dashboard, each, troubles) for each in found],
        "totals": totals,
        "operations": await dashboard.cache.load("operations", lambda: _operations(dashboard)),
    }


async def tenant_page(dashboard: Dashboard, tenant_id: str, *, for_operator: bool) -> Context:
    """Return the context of tenant.html. Only operators see what operators did. Raises Problem not_found."""
    row = await row_of(dashboard, tenant_id)
    known = dashboard.services.balances.known(tenant_id)
    ledgers = sorted(known.ledgers.values(), key=depth) if known else []
    return {
        "row": row,
        "ledgers": [LedgerRow(ledger, dashboard.typical_hold) for ledger in ledgers],
        "calls": await dashboard.services.store.latest(tenant_id, LATEST_CALLS),
        "audit": await dashboard.store.audit(tenant_id, LATEST_ACTIONS) if for_operator else [],
        **await dashboard.cache.load(("month", tenant_id), lambda: _month(dashboard, row)),
    }


async def row_of(dashboard: Dashboard, tenant_id: str) -> TenantRow:
    """Return the tenant with fresh figures. Raises Problem not_found."""
    await tenant_of(dashboard, tenant_id)
    found = await dashboard.store.find(tenant_id, _now())
    return _row(dashboard, found, await dashboard.refresh([found]))


async def tenant_of(dashboard: Dashboard, tenant_id: str) -> Tenant:
    """Return the tenant. Raises Problem not_found."""
    tenant = await dashboard.services.registry.tenant(tenant_id)
    if tenant is None:
        raise Problem("not_found", "This tenant does not exist.")
    return tenant


def _now() -> datetime:
    """Return the last full minute: pages that poll change only when figures do."""
    return datetime.now(UTC).replace(second=0, microsecond=0)


async def _operations(dashboard: Dashboard) -> Context:
    """Return what needs an operator. `is_cut_off` and `old_holds` are this process's, the rest is of all processes."""
    services, now = dashboard.services, datetime.now(UTC)
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=REFUSALS_OF_H - 1)
    old_holds = [hold for hold in services.guard.held if hold.age_s > services.settings.dashboard_old_hold]
    return {
        "is_cut_off": services.clients.breaker.is_open,
        "backlog": services.outbox.backlog(),
        "old_holds": sorted(old_holds, key=lambda hold: -hold.age_s)[:SHORT_LISTS],
        "uncharged": await services.store.uncharged(now - timedelta(hours=24)),
        "expiring": await services.registry.keys_that_expire(now + EXPIRES_SOON, SHORT_LISTS),
        "refusals": refusal_chart(await services.store.refusals(since), since, REFUSALS_OF_H),
    }


async def _month(dashboard: Dashboard, row: TenantRow) -> Context:
    now, store, tenant = _now(), dashboard.services.store, row.tenant
    begin, _ = month_of(now)
    kinds = ("model", "route", "end_user")
    chart = None
    if row.budget and row.budget.ledger.allocated > 0:
        history = await store.remaining(tenant.id, begin)
        chart = burndown(row.budget.ledger, history, row.burn, created_at=tenant.created_at, now=now)
    return {
        "chart": chart,
        "shares": {kind: await store.shares(tenant.id, kind, begin, TOP_SPENDERS) for kind in kinds},
    }


def _row(dashboard: Dashboard, found: TenantBudget, troubles: Mapping[str, str]) -> TenantRow:
    tenant, balance, trouble = found.tenant, dashboard.newest(found), troubles.get(found.tenant.id)
    budget = LedgerRow(balance, dashboard.typical_hold) if balance else None
    seconds_left = balance.remaining * 3600 / found.burn if balance and found.burn else 0.0
    return TenantRow(
        tenant=tenant,
        state=_state(dashboard, tenant, budget, trouble),
        budget=budget,
        burn=found.burn,
        seconds_left=seconds_left,
        runs_out=_now() + timedelta(seconds=seconds_left) if 0 < seconds_left < LONGEST_S else None,
        as_of=balance.at if balance else None,
        trouble=_describe(trouble),
    )


def _state(dashboard: Dashboard, tenant: Tenant, budget: LedgerRow | None, trouble: str | None) -> str:
    if tenant.status != "active":
        return tenant.status
    if budget is not None:
        return budget.state
    has_answered = trouble is None and dashboard.services.balances.known(tenant.id) is not None
    return "incomplete" if has_answered or not tenant.onboarded else "unknown"


def _describe(trouble: str | None) -> str | None:
    """Return a problem's code in an operator's words."""
    if trouble == "budget_unavailable":
        return "Cycles does not answer"
    return trouble and OUTCOMES[trouble][1]
