"""What the pages show: the same for every framework.

Figures come from the database, where every process writes what it hears, and from this process's memory where that is
newer; only what is older than the setting DASHBOARD_INTERVAL is asked for again, once for all viewers (watch.py).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any, NamedTuple

from ..budget.balances import Amounts, depth
from ..core.problems import OUTCOMES, Problem
from ..llm.provider import Message, Request
from ..tenants.findings import EXPIRES_SOON
from ..tenants.models import Tenant
from ..web.services import Services
from .charts import burndown, month_of, refusal_bars
from .records import FIRST_SORT, SORTS, AuditEntry, Reckoning, Standing, TenantStanding, Wanted
from .sampler import burn_of
from .service import Dashboard

Context = dict[str, Any]
"""What a template is given."""

TENANTS_PER_PAGE = 50
LATEST_CALLS = 50
LATEST_ACTIONS = 5
LARGEST_SHARES = 6
AUDIT_PER_PAGE = 100
SHORT_LISTS = 5
LONGEST_S = 365 * 86_400
"""What lasts longer at its rate has no end worth telling."""
REFUSALS_OF_H = 24

STATES = {
    "ok": "OK",
    "low": "Below 20%",
    "critical": "Below 5%",
    "short": "Blocked: too little left",
    "used_up": "Blocked: used up",
    "in_debt": "Blocked: in debt",
    "over_limit": "Blocked: over limit",
    "suspended": "Blocked: suspended",
    "closed": "Closed",
    "incomplete": "Not set up",
    "unknown": "Unknown",
}


class Segment(NamedTuple):
    """A part of a bar: where it begins and how wide it is, in per cent of the whole."""

    kind: str
    start: float
    width: float


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One ledger as it is shown. `call` is what the hold of a usual call takes, in microcents."""

    ledger: Amounts
    call: int

    @property
    def state(self) -> str:
        """A key of STATES: first what blocks calls, as the engine checks it, then how near the end is."""
        ledger = self.ledger
        if ledger.debt > ledger.overdraft_limit:
            return "in_debt"
        if ledger.is_over_limit:
            return "over_limit"
        if ledger.remaining <= 0:
            return "used_up"
        if ledger.remaining < self.call:
            return "short"
        if ledger.remaining * 20 < ledger.allocated:
            return "critical"
        return "low" if ledger.remaining * 5 < ledger.allocated else "ok"

    @property
    def left(self) -> int:
        """Per cent of the allocation that is free, rounded down."""
        return max(0, self.ledger.remaining) * 100 // self.ledger.allocated if self.ledger.allocated else 0

    @property
    def bar(self) -> list[Segment]:
        """Spent, overdraft, reserved and free, side by side; empty for a ledger that has nothing of them."""
        ledger = self.ledger
        free = max(0, ledger.remaining)
        parts = {"spent": ledger.spent, "overdraft": ledger.debt, "reserved": ledger.reserved, "free": free}
        scale = 100 / (sum(parts.values()) or 1)
        ends = zip(parts.items(), accumulate(parts.values()), strict=True)
        return [
            Segment(kind, round((end - amount) * scale, 2), round(amount * scale, 2))
            for (kind, amount), end in ends
            if amount > 0
        ]


class TenantRow(NamedTuple):
    """A tenant and what is known of its budget: its widest ledger, which bounds all its others.

    `state` is a key of STATES; `burn` microcents per hour; `runs_out` when nothing is left at that rate, and `lasts`
    how many seconds that are. `trouble` says why the figures, if there are any, could not be brought up to date.
    """

    id: str
    name: str
    state: str
    budget: LedgerRow | None
    burn: int
    lasts: float
    runs_out: datetime | None
    as_of: datetime | None
    trouble: str | None


class OldHold(NamedTuple):
    tenant: str
    amount: int
    age_s: int


def wanted_of(query: Mapping[str, str]) -> Wanted:
    """What the address asks of the table. Raises Problem invalid_request."""
    wish, page = query.get("sort", FIRST_SORT), query.get("page", "1")
    sort = next((sort for sort in SORTS if sort == wish), None)
    text = query.get("q", "").strip()
    if sort is None or not (page.isdecimal() and page.isascii()) or len(page) > 6:
        raise Problem("invalid_request")
    if len(text) > 200 or not text.isprintable():
        raise Problem("invalid_request")
    descending, attention = query.get("order") == "desc", query.get("show") == "attention"
    return Wanted(query=text, sort=sort, descending=descending, attention=attention, page=max(1, int(page)))


async def overview(dashboard: Dashboard, wanted: Wanted) -> Context:
    """For overview.html: a page of the tenants that match, the last one if there are fewer, and totals of them all."""
    by = _reckoning(dashboard.services)
    await dashboard.sampler.flush()
    found = await dashboard.store.page(wanted, by, TENANTS_PER_PAGE)
    troubles = await dashboard.watch.refresh(found)
    await dashboard.sampler.flush()
    same_for_all_pages = replace(wanted, page=1)
    totals = await dashboard.memo.load(same_for_all_pages, lambda: dashboard.store.totals(same_for_all_pages, by))
    pages = max(1, -(-totals["tenants"] // TENANTS_PER_PAGE))
    if wanted.page > pages:
        return await overview(dashboard, replace(wanted, page=pages))
    return {
        "wanted": wanted,
        "pages": pages,
        "rows": [_row(dashboard, each, troubles, by) for each in found],
        "totals": totals,
        "operations": await dashboard.memo.load("operations", lambda: _operations(dashboard)),
    }


async def tenant_page(dashboard: Dashboard, tenant_id: str, *, for_operator: bool) -> Context:
    """For tenant.html: its ledgers, widest first, its latest calls, and what took its money this month.

    What operators did to it is not for the tenant itself to see. Raises Problem not_found.
    """
    by, tenant = _reckoning(dashboard.services), await tenant_of(dashboard, tenant_id)
    row, known = await row_of(dashboard, tenant), dashboard.services.balances.known(tenant_id)
    return {
        "row": row,
        "ledgers": [
            LedgerRow(ledger, by.call) for ledger in (sorted(known.ledgers.values(), key=depth) if known else ())
        ],
        "calls": await dashboard.services.store.latest(tenant_id, LATEST_CALLS),
        "audit": await dashboard.store.audit(tenant_id, LATEST_ACTIONS) if for_operator else [],
        **await dashboard.memo.load(("month", tenant_id), lambda: _month(dashboard, tenant, row, by)),
    }


async def row_of(dashboard: Dashboard, tenant: Tenant) -> TenantRow:
    """The tenant as it stands now."""
    found = TenantStanding(tenant, (await dashboard.store.standings([tenant.id])).get(tenant.id))
    troubles = await dashboard.watch.refresh([found])
    await dashboard.sampler.flush()  # so that no other process asks too
    return _row(dashboard, found, troubles, _reckoning(dashboard.services))


async def tenant_of(dashboard: Dashboard, tenant_id: str) -> Tenant:
    """Raises Problem not_found."""
    tenant = await dashboard.services.registry.tenant(tenant_id)
    if tenant is None:
        raise Problem("not_found", "There is no such tenant.")
    return tenant


async def audit(dashboard: Dashboard, page: int) -> list[AuditEntry]:
    """A page of what operators did, newest first; pages count from 1."""
    return await dashboard.store.audit(None, AUDIT_PER_PAGE, (page - 1) * AUDIT_PER_PAGE)


def _reckoning(services: Services) -> Reckoning:
    """By the last full minute: what only time changes is no news for those who ask every two seconds."""
    settings = services.settings
    # of a call that names neither model nor max_tokens
    usual = Request(settings.llm_model, (Message("user", "x"),), settings.llm_max_tokens)
    return Reckoning(now=int(time.time()) // 60 * 60, call=services.prices.hold_for(usual))


async def _operations(dashboard: Dashboard) -> Context:
    """What may be stuck, over all tenants. `old_holds` and `is_cut_off` are this process's, the rest everybody's.

    `is_cut_off`: Cycles is out of reach, so that calls are refused without asking it. `uncharged`: microcents that no
    ledger took in the last 24 hours. `expiring`: the tenants whose Cycles keys expire first.
    """
    now = datetime.now(UTC)
    since = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=REFUSALS_OF_H - 1)
    held = [
        OldHold(hold.call.tenant, hold.call.hold, int(hold.age_s))
        for hold in dashboard.services.guard.held
        if hold.age_s > dashboard.services.settings.dashboard_old_hold
    ]
    return {
        "is_cut_off": dashboard.services.clients.breaker.is_open,
        "backlog": dashboard.services.outbox.backlog(),
        "old_holds": sorted(held, key=lambda hold: -hold.age_s)[:SHORT_LISTS],
        "uncharged": await dashboard.services.store.uncharged(now - timedelta(hours=24)),
        "expiring": await dashboard.services.registry.keys_that_expire(now + EXPIRES_SOON, SHORT_LISTS),
        "refusals": refusal_bars(await dashboard.services.store.refusals(since), since, REFUSALS_OF_H),
    }


async def _month(dashboard: Dashboard, tenant: Tenant, row: TenantRow, by: Reckoning) -> Context:
    now = datetime.fromtimestamp(by.now, UTC)
    begin, _ = month_of(now)
    hours = await dashboard.store.hours(tenant.id, int(begin.timestamp()) // 3600)
    kinds = ("model", "route", "end_user")
    shares = {kind: await dashboard.services.store.shares(tenant.id, kind, begin, LARGEST_SHARES) for kind in kinds}
    chart = None
    if row.budget and row.budget.ledger.allocated > 0:
        chart = burndown(row.budget.ledger, hours, row.burn, begun_at=tenant.created_at, now=now)
    return {"chart": chart, "shares": shares}


def _row(dashboard: Dashboard, found: TenantStanding, troubles: Mapping[str, str], by: Reckoning) -> TenantRow:
    tenant, standing = found
    ledger, as_of = _newest(dashboard, tenant.id, standing)
    trouble = troubles.get(tenant.id)
    budget = LedgerRow(ledger, by.call) if ledger else None
    burn = burn_of(standing, ledger.used, by.now) if ledger else 0
    lasts = ledger.remaining * 3600 / burn if ledger and burn else 0.0
    runs_out = datetime.fromtimestamp(by.now + lasts, UTC) if 0 < lasts < LONGEST_S else None
    state = _state(tenant, budget, told=as_of is not None and trouble is None)
    return TenantRow(tenant.id, tenant.name, state, budget, burn, lasts, runs_out, as_of, _words(trouble))


def _newest(dashboard: Dashboard, tenant: str, standing: Standing | None) -> tuple[Amounts | None, datetime | None]:
    """The widest ledger as it was last heard of, by this process or another, and when."""
    known = dashboard.services.balances.known(tenant)
    if known and (standing is None or known.as_of >= standing.at):
        return known.widest, known.as_of
    return standing, standing.at if standing else None


def _state(tenant: Tenant, budget: LedgerRow | None, *, told: bool) -> str:
    if tenant.status != "active":
        return tenant.status
    if budget is not None:
        return budget.state
    return "incomplete" if told or not tenant.onboarded else "unknown"


def _words(trouble: str | None) -> str | None:
    """A problem's code, said to an operator, to whom it is Cycles that failed."""
    if trouble == "budget_unavailable":
        return "Cycles does not answer"
    return trouble and OUTCOMES[trouble][1]
