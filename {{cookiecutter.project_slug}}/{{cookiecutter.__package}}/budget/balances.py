"""What is known of each tenant's ledgers: the last answer that told, so that reading it costs nothing.

Every reserve, commit, release, extend and event answer carries the balances of its scopes, while
`GET /v1/balances` scans the engine's whole key space (40 ms at 30,000 keys): it is asked only when the
memory is too old for the purpose, once for all who wait.
"""

import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cachetools import LRUCache

from ..core.cache import SingleFlight
from ..core.money import UNIT
from ..tenants.tenancy import owner_of

REMEMBERED_TENANTS = 20_000
"""Far more than are usual: where tenants call in turn, and are a few more than it holds, a cache never has the next."""
FRESH_S = 1.0
"""Balances this old are read anew before anybody is told of them: at most one call a second for each tenant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """One scope's ledger as Cycles returned it, in microcents: remaining = allocated - spent - reserved - debt."""

    scope: str
    allocated: int
    spent: int
    reserved: int
    remaining: int
    debt: int = 0
    overdraft_limit: int = 0
    is_over_limit: bool = False
    asked_at: float
    """Monotonic seconds at which the request went out that was answered with this."""

    @property
    def blocked(self) -> str | None:
        """The code by which the engine refuses every hold on this ledger, if it does."""
        if self.is_over_limit:
            return "overdraft_limit_exceeded"
        return "debt_outstanding" if self.debt > 0 and self.overdraft_limit == 0 else None


@dataclass(slots=True)
class Snapshot:
    """A tenant's ledgers by scope path, and when (UTC) the newest answer came."""

    ledgers: dict[str, Ledger]
    as_of: datetime
    listed_at: float = float("-inf")
    """Monotonic seconds of the last balances call. It lists all ledgers; other answers tell of their own scopes."""

    @property
    def widest(self) -> Ledger | None:
        """The ledger that bounds all the others: `tenant:acme` before `tenant:acme/app:chat`."""
        return min(self.ledgers.values(), key=depth, default=None)

    @property
    def age(self) -> float:
        """Seconds since the oldest of the figures was asked for."""
        return time.monotonic() - min((ledger.asked_at for ledger in self.ledgers.values()), default=self.listed_at)

    def along(self, scopes: list[str]) -> list[Ledger]:
        """The ledgers at these scopes, in their order."""
        return [self.ledgers[scope] for scope in scopes if scope in self.ledgers]

    def obstacle(self, scopes: list[str], required: int) -> Ledger | None:
        """Return the first ledger that refuses a hold of `required` microcents, None if it is none of the tenant's."""
        return next((each for each in self.along(scopes) if each.blocked or each.remaining < required), None)


def depth(ledger: Ledger) -> tuple[int, str]:
    """Return the key by which the widest ledgers sort first."""
    return ledger.scope.count("/"), ledger.scope


def ledgers_of(body: dict[str, Any] | None, asked_at: float) -> list[Ledger]:
    """The ledgers in an answer's `balances` that are kept in our unit; absent members are 0 or false."""
    rows: Iterable[dict[str, Any]] = (body or {}).get("balances") or ()
    ledgers = []
    for row in rows:
        amounts = {
            name: row[name]["amount"]
            for name in ("allocated", "spent", "reserved", "remaining", "debt", "overdraft_limit")
            if row.get(name) and row[name]["unit"] == UNIT
        }
        if "remaining" in amounts:
            zeros = {"allocated": 0, "spent": 0, "reserved": 0}
            over = bool(row.get("is_over_limit"))
            ledgers.append(Ledger(scope=row["scope_path"], is_over_limit=over, asked_at=asked_at, **zeros | amounts))
    return ledgers


class Balances:
    """The memory, and the way to refresh it: `ask(tenant)` lists a tenant's ledgers and tells `listed` of it."""

    def __init__(self, ask: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        self._ask = ask
        self._known: LRUCache[str, Snapshot] = LRUCache(REMEMBERED_TENANTS)
        self._asking = SingleFlight[str, None]()
        self._changed: set[str] = set()

    def remember(self, ledgers: Iterable[Ledger]) -> None:
        """Keep what an answer told, each ledger for the tenant that its scope names, whoever asked.

        A figure asked for earlier never replaces one asked for later. What lies above the tenants is nobody's.
        """
        for ledger in ledgers:
            if (tenant := owner_of(ledger.scope)) is None:
                continue
            known = self._snapshot(tenant)
            old = known.ledgers.get(ledger.scope)
            if old is None or old.asked_at <= ledger.asked_at:
                known.ledgers[ledger.scope] = ledger

    def listed(self, tenant: str, listed_at: float) -> None:
        """All of a tenant's ledgers were told by calls that went out since `listed_at` (monotonic seconds)."""
        known = self._snapshot(tenant)
        # a scope that nothing spoke of since is gone
        known.ledgers = {scope: ledger for scope, ledger in known.ledgers.items() if ledger.asked_at >= listed_at}
        known.listed_at = listed_at

    def _snapshot(self, tenant: str) -> Snapshot:
        """What is known of a tenant, to be changed."""
        self._changed.add(tenant)
        known: Snapshot = self._known.setdefault(tenant, Snapshot({}, datetime.now(UTC)))
        known.as_of = datetime.now(UTC)
        return known

    def known(self, tenant: str) -> Snapshot | None:
        return self._known.get(tenant)

    def take_changed(self) -> set[str]:
        """Return the tenants whose balances changed since the last call."""
        tenants, self._changed = self._changed, set()
        return tenants

    def least(self, tenant: str, scopes: list[str]) -> int | None:
        """Return the microcents left in the tightest ledger at these scopes, None if nothing is known."""
        known = self._known.get(tenant)
        return min((ledger.remaining for ledger in known.along(scopes)), default=None) if known else None

    async def read(self, tenant: str, max_age: float = FRESH_S) -> Snapshot:
        """Return all of a tenant's ledgers, no older than `max_age` seconds. Raises Problem if Cycles does not tell."""
        known = self._known.get(tenant)
        if known is None or known.listed_at < 0 or known.age > max_age:
            await self._asking.run(tenant, lambda: self._ask(tenant))
        return self._known[tenant]
