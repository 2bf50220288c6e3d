"""What the pages show, and the templates that show it: the same for every framework.

Figures come from memory (`balances`); only what is older than MAX_AGE_S is asked for again, once for all viewers.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .. import about
from ..budget.balances import Ledger, Snapshot
from ..budget.prices import format_usd
from ..calls.record import CallRecord
from ..llm.provider import Message
from ..problems import OUTCOMES, Problem
from ..services import Services
from ..settings import Settings
from ..tenants.records import Tenant

STATIC = Path(__file__).with_name("static")
TEMPLATES = Path(__file__).with_name("templates")

MAX_AGE_S = 15.0
"""At most one balances call per tenant in this time, however many look."""
AT_ONCE = 8
PATIENCE_S = 3.0
"""What Cycles has not told by then is shown as unknown."""
TENANTS_PER_PAGE = 50
LATEST_CALLS = 50

STATES = {
    "ok": "OK",
    "low": "Below 20%",
    "critical": "Below 5%",
    "short": "Too little left",
    "used_up": "Used up",
    "in_debt": "In debt",
    "over_limit": "Over limit",
    "suspended": "Suspended",
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

    ledger: Ledger
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
        """Spent, debt, reserved and free, side by side; empty for a ledger that has nothing of them."""
        ledger = self.ledger
        free = max(0, ledger.remaining)
        parts = {"spent": ledger.spent, "debt": ledger.debt, "reserved": ledger.reserved, "free": free}
        whole = sum(parts.values())
        segments, start = [], 0
        for kind, amount in parts.items():
            if amount > 0:
                segments.append(Segment(kind, round(start * 100 / whole, 2), round(amount * 100 / whole, 2)))
                start += amount
        return segments


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRow:
    """A tenant and what is known of its budget: its widest ledger, which bounds all its others.

    `state` is a key of STATES. `trouble` says why the figures, if there are any, could not be brought up to date.
    """

    id: str
    name: str
    state: str
    budget: LedgerRow | None
    as_of: datetime | None
    trouble: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How many tenants match; sums in microcents over those not closed, but for `unknown`, which have no figures."""

    tenants: int
    unknown: int
    attention: int
    allocated: int
    spent: int
    reserved: int
    remaining: int
    debt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """A page of the tenants that match `query`, and the totals of all that match."""

    query: str
    page: int
    pages: int
    rows: list[TenantRow]
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantPage:
    """One tenant: all its ledgers, widest first, and its latest calls, newest first."""

    row: TenantRow
    ledgers: list[LedgerRow]
    calls: list[CallRecord]


async def overview(services: Services, query: str, page: int) -> Overview:
    """The tenants whose ID or name contains `query`, by ID. A `page` (from 1) past the end is the last one."""
    wanted = query.strip().casefold()
    matching = [
        tenant
        for tenant in await services.registry.tenants()
        if wanted in tenant.id.casefold() or wanted in tenant.name.casefold()
    ]
    pages = max(1, -(-len(matching) // TENANTS_PER_PAGE))
    page = min(max(1, page), pages)
    shown = slice((page - 1) * TENANTS_PER_PAGE, page * TENANTS_PER_PAGE)
    troubles = await _refresh(services, matching[shown])
    call = usual_hold(services.settings)
    rows = [_row(tenant, services.balances.known(tenant.id), troubles.get(tenant.id), call) for tenant in matching]
    return Overview(query=query.strip(), page=page, pages=pages, rows=rows[shown], totals=_totals(rows))


async def tenant_page(services: Services, tenant_id: str) -> TenantPage:
    """Raises Problem not_found."""
    tenant = await services.registry.tenant(tenant_id)
    if tenant is None:
        raise Problem("not_found", "There is no such tenant.")
    troubles, calls = await asyncio.gather(_refresh(services, [tenant]), services.store.latest(tenant.id, LATEST_CALLS))
    known = services.balances.known(tenant.id)
    ledgers = sorted(known.ledgers.values(), key=_width) if known else []
    call = usual_hold(services.settings)
    row = _row(tenant, known, troubles.get(tenant.id), call)
    return TenantPage(row=row, ledgers=[LedgerRow(ledger, call) for ledger in ledgers], calls=calls)


def usual_hold(settings: Settings) -> int:
    """Microcents that are held at least for a call that names no model and no max_tokens."""
    bound = settings.prices.of(settings.models[0]).upper_bound((Message("user", "x"),), settings.llm_max_tokens)
    return bound.microcents


async def _refresh(services: Services, tenants: Sequence[Tenant]) -> dict[str, str]:
    """Bring the memory of these tenants up to date; by tenant ID, the problem's code where that failed."""
    troubles: dict[str, str] = {}
    turn = asyncio.Semaphore(AT_ONCE)

    async def ask(tenant: str) -> None:
        troubles[tenant] = "budget_unavailable"  # unless it tells in time
        async with turn:
            try:
                await services.balances.read(tenant, MAX_AGE_S)
            except Problem as problem:
                troubles[tenant] = problem.code
            else:
                del troubles[tenant]

    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(ask(row.id) for row in tenants if row.onboarded and row.status != "closed"))
    return troubles


def _row(tenant: Tenant, known: Snapshot | None, trouble: str | None, call: int) -> TenantRow:
    widest = min(known.ledgers.values(), key=_width) if known and known.ledgers else None
    budget = None if widest is None else LedgerRow(widest, call)
    return TenantRow(
        id=tenant.id,
        name=tenant.name,
        state=_state(tenant, budget, known, trouble),
        budget=budget,
        as_of=known.as_of if known else None,
        trouble=_words(trouble),
    )


def _state(tenant: Tenant, budget: LedgerRow | None, known: Snapshot | None, trouble: str | None) -> str:
    if tenant.status != "active":
        return tenant.status
    if budget is not None:
        return budget.state
    told_none = known is not None and trouble is None
    return "incomplete" if told_none or not tenant.onboarded else "unknown"


def _words(trouble: str | None) -> str | None:
    """A problem's code, said to an operator, to whom it is Cycles that failed."""
    if trouble == "budget_unavailable":
        return "Cycles does not answer"
    return trouble and OUTCOMES[trouble][1]


def _width(ledger: Ledger) -> tuple[int, str]:
    """Sorts a scope before those below it: `tenant:acme` before `tenant:acme/app:chat`."""
    return ledger.scope.count("/"), ledger.scope


def _totals(rows: Sequence[TenantRow]) -> Totals:
    open_rows = [row for row in rows if row.state != "closed"]
    ledgers = [row.budget.ledger for row in open_rows if row.budget]
    return Totals(
        tenants=len(rows),
        unknown=sum(row.budget is None and row.state != "incomplete" for row in open_rows),
        attention=sum(row.state not in ("ok", "unknown") for row in open_rows),
        allocated=sum(ledger.allocated for ledger in ledgers),
        spent=sum(ledger.spent for ledger in ledgers),
        reserved=sum(ledger.reserved for ledger in ledgers),
        remaining=sum(ledger.remaining for ledger in ledgers),
        debt=sum(ledger.debt for ledger in ledgers),
    )


def usd(microcents: int, places: int | None = None) -> str:
    """An amount for people: `$1,234.50`, `-$0.00013`. Without `places`, small ones keep two significant digits."""
    amount = abs(Decimal(microcents)).scaleb(-8)
    if places is None or not amount:
        places = 2 if amount >= 1 or not amount else min(8, max(2, 1 - amount.adjusted()))
    return f"{'-' if microcents < 0 else ''}${amount:,.{places}f}"


def moment(at: datetime) -> str:
    """A time in UTC, as people read it: `2026-11-21 21:35:10`."""
    return f"{at:%Y-%m-%d %H:%M:%S}"


_templates = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals |= {"title": about.TITLE, "states": STATES, "static": "/static/{}".format}
_templates.filters |= {"usd": usd, "exact_usd": format_usd, "moment": moment}


def render(template: str, **context: object) -> str:
    """A page's HTML. `base.html` says which of `context` every page needs; a `static` in it names static files."""
    return _templates.get_template(template).render(context)
