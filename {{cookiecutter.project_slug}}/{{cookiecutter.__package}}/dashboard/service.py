"""What the pages of one process share: the store, caches, and fresh balances."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from ..budget.balances import REMEMBERED_TENANTS
from ..core.cache import TTLCache
from ..core.problems import Problem
from ..llm.provider import Message, Request
from ..tenants.models import Tenant
from ..web.services import Services
from .query import TenantBudget
from .store import DashboardStore

CACHED_S = 2.0
"""For figures that are expensive to compute."""
SLOW_S = 0.1
SLOW_CACHED_S = 60.0
"""For sums over many calls that took the database longer than SLOW_S."""
READS_AT_ONCE = 8
PATIENCE_S = 2.0
"""Balances that Cycles has not returned by then are shown as unknown."""


class Dashboard:
    """Asks Cycles only for balances older than the setting DASHBOARD_INTERVAL, once for all viewers."""

    def __init__(self, services: Services, store: DashboardStore) -> None:
        settings = services.settings
        typical = Request(settings.llm_model, (Message("user", "x"),), settings.llm_max_tokens)
        self.services = services
        self.store = store
        self.cache = TTLCache[Hashable, Any](1_000, CACHED_S)
        self._slow = TTLCache[Hashable, Any](1_000, SLOW_CACHED_S)
        self.typical_hold = services.prices.hold_for(typical)
        self._interval = timedelta(seconds=settings.dashboard_interval)
        self._reads = TTLCache[str, str | None](REMEMBERED_TENANTS, settings.dashboard_interval)
        self._turn = asyncio.Semaphore(READS_AT_ONCE)

    async def sums(self, key: Hashable, load: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Return what `load` returns, cached for a minute if it takes long. Charts of few calls are up to date."""
        if (found := self._slow.get(key)) is None:
            began = time.monotonic()
            found = await self.cache.load(key, load)
            if time.monotonic() - began > SLOW_S:
                self._slow[key] = found
        return found

    async def refresh(self, rows: list[TenantBudget]) -> list[TenantBudget]:
        """Give rows their newest balance, from memory or database, and read stale ones from Cycles."""
        stale = [row for row in rows if self._needs_read(row)]
        reads = [self._reads.load(row.tenant.id, partial(self._read, row.tenant)) for row in stale]
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*reads)
        for row in filter(self._needs_read, stale):
            row.trouble = self._reads.setdefault(row.tenant.id, "budget_unavailable")
        return rows

    def _needs_read(self, row: TenantBudget) -> bool:
        """Give a row the newest balance that this process knows. Return whether Cycles has to be asked for a newer."""
        known = self.services.balances.widest(row.tenant.id)
        if known and (row.balance is None or known.at >= row.balance.at):
            row.balance = known
        if not row.tenant.onboarded or row.tenant.status == "closed":
            return False
        return row.balance is None or datetime.now(UTC) - row.balance.at > self._interval

    async def _read(self, tenant: Tenant) -> str | None:
        async with self._turn:
            try:
                self.services.clients.use(tenant)  # a page reads no tenant twice
                await self.services.balances.read(tenant.id, 0.0)
            except Problem as problem:
                return problem.code
        return None
