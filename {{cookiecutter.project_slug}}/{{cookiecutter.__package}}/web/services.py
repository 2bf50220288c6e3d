"""The services that all requests of a process share. Each framework's main module opens them once."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from datetime import datetime, timedelta
from typing import Any, Self

from ..budget.client import Clients
from ..budget.guard import Guard
from ..budget.prices import Prices
from ..budget.sweeper import Sweeper
from ..calls.models import Alert
from ..calls.record import CallLog
from ..calls.store import CallStore
from ..core.config import Settings
from ..core.metrics import forget_killed_workers
from ..core.money import format_usd
from ..core.problems import Problem
from ..core.tasks import on_stop_signal
from ..llm.providers import make_provider
from ..tenants.identity import Identity
from ..tenants.registry import Registry
from .housekeeping import Housekeeping
from .readiness import Readiness
from .schemas import BalanceRow, BudgetAnswer

FLUSH_S = 2.0
STUCK_AFTER_S = 600.0
"""A settlement that waits for so long does not reach Cycles by itself."""


class Services:
    """Async context manager: starts the background tasks, and settles and closes everything at the end.

    Needs no network to start: clients connect on first use, the outbox is sent in the background.
    """

    def __init__(self, settings: Settings, registry: Registry, store: CallStore) -> None:
        self.settings = settings
        self.registry = registry
        self.prices = Prices.load()
        self.store = store
        self.clients = Clients(settings, registry)
        self.balances = self.clients.balances
        self.calls = CallLog(store, self.balances.changed)
        self.outbox = self.clients.outbox
        self.sweeper = Sweeper(self.clients)
        self.guard = Guard(settings, self.prices, self.clients, self.calls)
        self.identity = Identity(registry, settings)
        self.provider = make_provider(settings)
        self.readiness = Readiness(registry, self.clients)
        self.housekeeping = Housekeeping(settings, registry, self.alerts)

    async def __aenter__(self) -> Self:
        forget_killed_workers()
        on_stop_signal(self.guard.tasks.stop)
        background = (self.sweeper.run(), self.calls.run(), self.housekeeping.run())
        self._background = [asyncio.create_task(each) for each in background]
        return self

    async def __aexit__(self, *_: object) -> None:
        async with AsyncExitStack() as closing:  # from last to first, whatever fails
            closing.push_async_callback(self.clients.aclose)
            closing.push_async_callback(self.provider.vendor.aclose)
            closing.push_async_callback(self.calls.flush)
            closing.push_async_callback(self._flush_outbox)
            await self.guard.tasks.stop()
            for task in self._background:
                task.cancel()
            await asyncio.wait(self._background)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in the background, until the end."""
        self._background.append(asyncio.create_task(work))

    async def budget_of(self, tenant_id: str) -> BudgetAnswer:
        """Return a tenant's budget. Raise Problem: not_found, or why Cycles does not return it."""
        tenant = await self.registry.tenant(tenant_id)
        if tenant is None:
            raise Problem("not_found")
        known = await self.balances.read(tenant_id)
        ledgers = sorted(known.ledgers.values(), key=lambda ledger: ledger.scope)
        rows = [BalanceRow.model_validate(ledger) for ledger in ledgers]
        return BudgetAnswer(tenant=tenant_id, as_of=known.as_of, renews_at=tenant.renews_at, balances=rows)

    async def alerts(self, now: datetime) -> list[Alert]:
        """Return what this process sees: over all processes, an outage once an hour, anything else once a day."""
        uncharged, backlog = await self.store.uncharged(now - timedelta(hours=24)), self.outbox.backlog()
        is_stuck = backlog.oldest_s > STUCK_AFTER_S or backlog.set_aside
        waits = f"{backlog.count} settlements have not reached Cycles, the oldest for {backlog.oldest_s:.0f} s"
        day, is_down = f"{now:%Y-%m-%d}", (await self.readiness.checks())["cycles"] != "ok"
        found = [
            (uncharged, f"uncharged:{day}", f"Spend of ${format_usd(uncharged)} in the last 24 hours was not charged."),
            (is_stuck, f"backlog:{day}", f"{waits}; {backlog.set_aside} were set aside."),
            (is_down, f"cycles-unreachable:{now:%Y-%m-%dT%H}", "Cycles is out of reach."),
        ]
        return [Alert(id=name, text=text) for is_true, name, text in found if is_true]

    async def _flush_outbox(self) -> None:
        """Send what waits once more. The rest is sent at the next start."""
        self.outbox.wake()
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await self.sweeper.sweep()
