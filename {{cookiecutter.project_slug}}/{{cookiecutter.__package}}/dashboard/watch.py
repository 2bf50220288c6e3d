"""Keeps what the pages show young: at most one balances call per tenant and interval, however many look, and where.

A process that finds a figure too old claims it in the database before it asks, so that no other one asks too.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from cachetools import TTLCache

from ..budget.balances import REMEMBERED_TENANTS, Balances
from ..core.problems import Problem
from .records import Standing, TenantStanding
from .store import DashboardStore

AT_ONCE = 8
PATIENCE_S = 2.0
"""What Cycles has not told by then is shown as unknown."""


class Watch:
    """`interval` in seconds. Nothing is asked of a tenant while the answers of its own calls keep its memory fresh."""

    def __init__(self, balances: Balances, store: DashboardStore, interval: float) -> None:
        self._balances = balances
        self._store = store
        self._interval = interval
        self._asked: TTLCache[str, str | None] = TTLCache(REMEMBERED_TENANTS, interval)

    async def refresh(self, tenants: Iterable[TenantStanding]) -> dict[str, str]:
        """Bring these up to date; by tenant ID, the problem's code where that failed.

        Their standings say when the database last heard of them: another process may have asked.
        """
        has_ledgers = (each for each in tenants if each.tenant.onboarded and each.tenant.status != "closed")
        stale = {tenant.id: standing for tenant, standing in has_ledgers if not self._is_fresh(tenant.id, standing)}
        due = await self._claimed({tenant: standing for tenant, standing in stale.items() if tenant not in self._asked})
        turn = asyncio.Semaphore(AT_ONCE)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*(self._ask(tenant, turn) for tenant in due))
        troubles = {tenant: self._asked.get(tenant) for tenant in stale if not self._is_fresh(tenant, None)}
        return {tenant: trouble for tenant, trouble in troubles.items() if trouble}

    async def _claimed(self, tenants: Mapping[str, Standing | None]) -> list[str]:
        """Those that this process is to ask for. One that the database has not heard of yet cannot be claimed."""
        self._asked.update(dict.fromkeys(tenants))
        known, now = [tenant for tenant, standing in tenants.items() if standing], int(time.time())
        claimed = await self._store.claim(known, now, int(now - self._interval)) if known else set()
        return [tenant for tenant, standing in tenants.items() if standing is None or tenant in claimed]

    async def _ask(self, tenant: str, turn: asyncio.Semaphore) -> None:
        self._asked[tenant] = "budget_unavailable"  # unless it tells in time
        async with turn:
            try:
                await self._balances.read(tenant, 0.0)
            except Problem as problem:
                self._asked[tenant] = problem.code
            else:
                self._asked[tenant] = None

    def _is_fresh(self, tenant: str, standing: Standing | None) -> bool:
        known = self._balances.known(tenant)
        if known and (ledger := known.widest) and time.monotonic() - ledger.asked_at < self._interval:
            return True
        return standing is not None and datetime.now(UTC) - standing.at < timedelta(seconds=self._interval)
