"""Preflight: refuse what no budget can pay before the request is read. Advisory: the hold decides."""

import time
from functools import lru_cache

from ..calls.models import Call
from ..calls.record import CallLog
from ..core.config import Settings
from ..core.metrics import DENIALS
from ..core.money import UNIT
from ..core.problems import Problem
from .balances import FRESH_S, REMEMBERED_TENANTS, Ledger
from .client import Clients
from .fail_open import FailOpen
from .prices import Prices
from .subject import scopes_of, subject_of


class Preflight:
    """Checks cached balances, and reads them again if they are short and stale. A tenant without any passes."""

    def __init__(
        self, settings: Settings, prices: Prices, clients: Clients, calls: CallLog, fail_open: FailOpen
    ) -> None:
        self._breaker = clients.breaker
        self._observed = clients.observed
        self._balances = clients.balances
        self._calls = calls
        self._fail_open = fail_open
        self._least_cost = prices.least_cost(settings.models)
        """Microcents of the cheapest possible call."""
        self._scopes = lru_cache(REMEMBERED_TENANTS)(lambda tenant: scopes_of(subject_of(settings, tenant)))
        """The scopes that every call of a tenant counts in."""

    async def check(self, tenant: str) -> None:
        """Raise Problem if no call can be paid (402), or if Cycles is out of reach (503)."""
        try:
            await self._check(tenant)
        except Problem as problem:
            if problem.code == "budget_unavailable" and self._fail_open.enabled:
                return
            problem.members = {"tenant": tenant, "unit": UNIT, **problem.members}
            DENIALS.labels(problem.code).inc()
            self._calls.add(Call(tenant=tenant, route="preflight", outcome=problem.code))
            raise

    async def _check(self, tenant: str) -> None:
        if self._breaker.refuses:
            raise Problem("budget_unavailable")
        short = None if tenant in self._observed else self._short(tenant)
        if short and time.monotonic() - short.asked_at > FRESH_S:
            await self._balances.read(tenant)
            short = self._short(tenant)
        if short:
            code = short.blocked or "budget_exceeded"
            raise await self._balances.refusal(code, tenant, self._scopes(tenant), self._least_cost)

    def _short(self, tenant: str) -> Ledger | None:
        """Return the first ledger that could pay for no call, even if all holds were released."""
        known = self._balances.known(tenant)
        return known.obstacle(self._scopes(tenant), self._least_cost, without_holds=True) if known else None
