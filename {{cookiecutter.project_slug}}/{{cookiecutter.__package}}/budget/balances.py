"""Cached balances per tenant.

Every answer to a reserve, commit, release, extend or event carries the balances of its scopes. `GET /v1/balances`
scans the engine's whole key space (40 ms at 30,000 keys): call it only if the cache is too old, once for all callers.
"""

import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cachetools import FIFOCache

from ..calls.models import Balance
from ..core.cache import SingleFlight
from ..core.money import UNIT
from ..core.problems import OUTCOMES, Problem, budget_problem
from ..tenants.tenancy import owner_of

REMEMBERED_TENANTS = 20_000
"""Far more than usual: a cache a little smaller than the number of tenants that call in turn never hits."""
FRESH_S = 1.0
"""Read older balances again before showing them: at most one call a second for each tenant."""
AMOUNTS = ("allocated", "spent", "reserved", "remaining", "debt", "overdraft_limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """One scope's ledger as Cycles last reported it, in microcents: remaining = allocated - spent - reserved - debt."""

    scope: str
    allocated: int = 0
    spent: int = 0
    reserved: int = 0
    remaining: int
    debt: int = 0
    overdraft_limit: int = 0
    is_over_limit: bool = False
    asked_at: float
    """Monotonic seconds when the request was sent."""

    @property
    def blocked(self) -> str | None:
        """Code of the problem by which the engine refuses every hold on this ledger, None if it takes holds."""
        if self.is_over_limit:
            return "overdraft_limit_exceeded"
        return "debt_outstanding" if self.debt > 0 and self.overdraft_limit == 0 else None


@dataclass(slots=True)
class Snapshot:
    """A tenant's ledgers by scope path, and when (UTC) the newest answer came."""

    ledgers: dict[str, Ledger]
    as_of: datetime
    listed_at: float = float("-inf")
    """Monotonic seconds of the last balances call, which lists all ledgers. Other answers list their scopes only."""

    def along(self, scopes: list[str]) -> list[Ledger]:
        """Return the ledgers at these scopes, in their order."""
        return [self.ledgers[scope] for scope in scopes if scope in self.ledgers]

    def obstacle(self, scopes: list[str], required: int, *, without_holds: bool = False) -> Ledger | None:
        """Return the first ledger that refuses a hold of `required` microcents, None if all take it.

        With `without_holds`, return only one that would refuse even if all current holds were released.
        """
        for ledger in self.along(scopes):
            available = ledger.remaining + (ledger.reserved if without_holds else 0)
            if ledger.blocked or available < required:
                return ledger
        return None


def depth(ledger: Ledger) -> tuple[int, str]:
    """Return a sort key: widest ledgers first."""
    return ledger.scope.count("/"), ledger.scope


def ledgers_of(body: dict[str, Any], asked_at: float) -> list[Ledger]:
    """Return the ledgers in an answer's `balances` that are in our unit."""
    ledgers = []
    for row in body.get("balances") or ():
        if (row.get("remaining") or {}).get("unit") == UNIT:
            amounts = {name: row[name]["amount"] for name in AMOUNTS if row.get(name)}
            over = bool(row.get("is_over_limit"))
            ledgers.append(Ledger(scope=row["scope_path"], is_over_limit=over, asked_at=asked_at, **amounts))
    return ledgers


class Balances:
    """The cache. `ask(tenant)` requests all of a tenant's ledgers and passes them to `remember` and `listed`."""

    def __init__(self, ask: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        self._ask = ask
        self._known = FIFOCache[str, Snapshot](REMEMBERED_TENANTS)
        self._asking = SingleFlight[str, None]()
        self._changed: set[str] = set()

    def remember(self, ledgers: Iterable[Ledger]) -> None:
        """Cache each ledger for the tenant that its scope names, unless a newer one is cached."""
        for ledger in ledgers:
            if tenant := owner_of(ledger.scope):  # scopes above the tenants belong to nobody
                known = self._snapshot(tenant)
                old = known.ledgers.get(ledger.scope)
                if old is None or old.asked_at <= ledger.asked_at:
                    known.ledgers[ledger.scope] = ledger

    def expect(self, tenant: str, scopes: list[str], held: int, charged: int) -> None:
        """Change the cached ledgers as the charge of a hold will, which is sent later."""
        known = self._snapshot(tenant)
        for ledger in known.along(scopes):
            spent, reserved = ledger.spent + charged, ledger.reserved - held
            remaining = ledger.remaining + held - charged
            known.ledgers[ledger.scope] = replace(ledger, spent=spent, reserved=reserved, remaining=remaining)

    def listed(self, tenant: str, listed_at: float) -> None:
        """Drop the ledgers of a tenant that no answer since `listed_at` (monotonic seconds) has reported."""
        known = self._snapshot(tenant)
        known.ledgers = {scope: ledger for scope, ledger in known.ledgers.items() if ledger.asked_at >= listed_at}
        known.listed_at = listed_at

    def _snapshot(self, tenant: str) -> Snapshot:
        """Return the snapshot of a tenant, to be changed."""
        now = datetime.now(UTC)
        known = self._known.setdefault(tenant, Snapshot({}, now))
        known.as_of = now
        self._changed.add(tenant)
        return known

    def known(self, tenant: str) -> Snapshot | None:
        return self._known.get(tenant)

    def widest(self, tenant: str) -> Balance | None:
        """Return the tenant's widest ledger, None if nothing is known.

        It bounds all the others: `tenant:acme` before `tenant:acme/app:chat`.
        """
        known = self._known.get(tenant)
        if known is None or not known.ledgers:
            return None
        ledger = min(known.ledgers.values(), key=depth)
        at = datetime.now(UTC) - timedelta(seconds=time.monotonic() - ledger.asked_at)
        amounts = {name: getattr(ledger, name) for name in AMOUNTS}
        return Balance(tenant_id=tenant, at=at, is_over_limit=ledger.is_over_limit, **amounts)

    def changed(self) -> list[Balance]:
        """Return the widest ledgers of the tenants whose balances changed since the last call."""
        tenants, self._changed = self._changed, set()
        return [*filter(None, map(self.widest, tenants))]

    def least(self, tenant: str, scopes: list[str]) -> int | None:
        """Return the microcents that the tightest ledger at these scopes has left, None if unknown."""
        known = self._known.get(tenant)
        return min((ledger.remaining for ledger in known.along(scopes)), default=None) if known else None

    async def read(self, tenant: str, max_age: float = FRESH_S) -> Snapshot:
        """Return all of a tenant's ledgers, at most `max_age` seconds old. Raise Problem if Cycles does not answer."""
        known = self._known.get(tenant)
        oldest = min((ledger.asked_at for ledger in known.ledgers.values()), default=known.listed_at) if known else 0.0
        if known is None or known.listed_at < 0 or time.monotonic() - oldest > max_age:
            await self._asking.run(tenant, lambda: self._ask(tenant))
        return self._known[tenant]

    async def check(self, tenant: str, scopes: list[str], required: int) -> None:
        """Raise Problem if a ledger at these scopes can't pay `required` microcents, even if all holds were released.

        Read the balances again if the cached ones are short and stale. A tenant without any passes.
        """
        known = self._known.get(tenant)
        ledger = known.obstacle(scopes, required, without_holds=True) if known else None
        if ledger and time.monotonic() - ledger.asked_at > FRESH_S:
            ledger = (await self.read(tenant)).obstacle(scopes, required, without_holds=True)
        if ledger:
            code = ledger.blocked or "budget_exceeded"
            raise budget_problem(code, tenant, required, ledger.scope, ledger.remaining, ledger.reserved)

    async def refusal(self, code: str, tenant: str, scopes: list[str], required: int) -> Problem:
        """Return the problem for a call of `required` microcents that counts in `scopes`.

        A 402 names the first ledger that refuses the call. Read the balances again if the cached ones don't explain it.
        """
        if OUTCOMES[code][0] != 402:
            return Problem(code, tenant=tenant, unit=UNIT)
        ledger = None
        with suppress(Problem):
            known = await self.read(tenant)
            ledger = known.obstacle(scopes, required)
            if ledger is None and time.monotonic() - known.listed_at > FRESH_S:
                ledger = (await self.read(tenant, 0.0)).obstacle(scopes, required)
        about = (ledger.scope, ledger.remaining, ledger.reserved) if ledger else ()
        return budget_problem(code, tenant, required, *about)
