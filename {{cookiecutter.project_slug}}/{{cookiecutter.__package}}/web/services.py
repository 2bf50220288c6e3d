"""Everything that the requests of one process share: opened once, closed once, whatever the framework."""

import asyncio
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Self

import structlog

from ..budget.balance_rows import changed_rows
from ..budget.client import Clients
from ..budget.fail_open import FailOpen
from ..budget.guard import Guard
from ..budget.preflight import Preflight
from ..budget.prices import Prices
from ..budget.sweeper import Sweeper
from ..calls.record import CallLog
from ..calls.store import CallStore
from ..core.config import Settings
from ..core.metrics import forget_the_killed
from ..core.money import MICROCENTS_PER_USD
from ..core.tasks import uncut, when_told_to_stop
from ..llm.providers import make_provider
from ..tenants.identity import Identity
from ..tenants.onboarding import onboarding
from ..tenants.registry import Registry
from .readiness import Readiness

log = structlog.get_logger(__name__)

FLUSH_S = 2.0
STAMP_EVERY_S = 30.0
RETIRE_EVERY_S = 60.0


class Services:
    """An async context manager: entering starts the background tasks, leaving settles and closes.

    Nothing here needs the network at start: clients are made on first use, the outbox is swept in the background.
    """

    def __init__(self, settings: Settings, registry: Registry, store: CallStore) -> None:
        limit = settings.budget_fail_open_limit if settings.budget_fail_open else None
        self.settings = settings
        self.registry = registry
        self.prices = Prices.load(settings.llm_unlisted_price)
        self.store = store
        self.calls = CallLog(store)
        self.clients = Clients(settings, registry, self.calls.amend)
        self.balances = self.clients.balances
        self.calls.changed_balances = partial(changed_rows, self.balances)
        self.outbox = self.clients.outbox
        self.sweeper = Sweeper(self.clients)
        self.fail_open = FailOpen(None if limit is None else int(limit * MICROCENTS_PER_USD), self.outbox.file)
        self.guard = Guard(settings, self.prices, self.clients, self.calls, self.fail_open)
        self.preflight = Preflight(settings, self.prices, self.clients, self.calls, self.fail_open)
        self.identity = Identity(registry, settings)
        self.provider = make_provider(settings)
        self.readiness = Readiness(registry, self.clients)
        self._background: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        work = (self.sweeper.run(), self.calls.run(), self._stamp_keys(), self._retire_keys())
        self._report_backlog()
        forget_the_killed()
        when_told_to_stop(self.guard.tasks.stop)
        self._background = [asyncio.create_task(each) for each in work]
        return self

    async def __aexit__(self, *_: object) -> None:
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self.clients.aclose)
            closing.push_async_callback(self.provider.aclose)
            closing.push_async_callback(self.calls.flush)
            closing.push_async_callback(self._stamp_once)
            closing.push_async_callback(self._flush_outbox)
            await self.guard.tasks.drain()
            for task in self._background:
                task.cancel()
            await asyncio.wait(self._background)

    def _report_backlog(self) -> None:
        backlog = self.outbox.backlog()
        if backlog.count:
            log.warning("settling spend left by a previous process", settlements=backlog.count)
        if backlog.set_aside:
            log.error("settlements were set aside and are not sent: see doctor", count=backlog.set_aside)

    async def _stamp_keys(self) -> None:
        while True:
            await asyncio.sleep(STAMP_EVERY_S)
            await self._stamp_once()

    async def _stamp_once(self) -> None:
        try:
            await uncut(self.identity.flush())
        except Exception:
            log.exception("when keys were last used is not written down")

    async def _retire_keys(self) -> None:
        """Revoke replaced Cycles keys when their time has come, given admin access: then no command needs to."""
        while True:
            try:
                async with onboarding(self.settings, self.registry) as desk:
                    await desk.retire_keys()
            except Exception:
                log.exception("replaced Cycles keys are not revoked yet")
            await asyncio.sleep(RETIRE_EVERY_S)

    async def _flush_outbox(self) -> None:
        """Try what waits once more. What still fails stays for the next start."""
        self.outbox.wake()
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await self.sweeper.sweep()
