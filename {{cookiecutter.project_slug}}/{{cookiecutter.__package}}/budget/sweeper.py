"""Sends what is in the outbox until Cycles has decided: in every worker, from start to end, without traffic."""

import asyncio
from contextlib import suppress

from ..core.logging import log
from .client import Clients
from .outbox import Settlement

SWEEP_EVERY_S = 1.0
AT_ONCE = 20
"""Settlements sent at the same time. The other connections are for callers."""
PER_TENANT = 5
"""Of these, for one tenant."""


class Sweeper:
    """Sends due settlements. A tenant whose settlements fail does not delay the others."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._outbox = clients.outbox
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._sweeping: set[str] = set()

    async def run(self) -> None:
        """Sweep until cancelled. At the start, nothing waits for its next try."""
        self._outbox.wake()
        async with asyncio.TaskGroup() as sweeps:
            while True:
                sweeps.create_task(self.sweep())
                with suppress(RuntimeError):  # no thread left
                    await asyncio.to_thread(self._outbox.file.checkpoint)
                await asyncio.sleep(SWEEP_EVERY_S)

    async def sweep(self) -> None:
        """Send everything that is due once; a tenant's next batch only if some of the last one succeeded."""
        self._outbox.flush()
        due = [tenant for tenant in self._outbox.due_tenants() if tenant not in self._sweeping]
        await asyncio.gather(*map(self._sweep_tenant, due))

    async def _sweep_tenant(self, tenant: str) -> None:
        self._sweeping.add(tenant)
        try:
            while batch := self._outbox.claim(tenant, PER_TENANT):
                decided = await asyncio.gather(*map(self._is_decided, batch))
                if not any(decided):  # the tenant's own fault, not the network's
                    self._outbox.delay_tenant(batch[0])
                    return
        except Exception:
            log.exception("sweep failed, trying again", tenant=tenant)
        finally:
            self._sweeping.discard(tenant)

    async def _is_decided(self, settlement: Settlement) -> bool:
        """Send once. Return whether Cycles has decided. While it is out of reach, send only the breaker's probes."""
        attempts = settlement.attempts
        async with self._slots:
            with self._clients.breaker.call() as admitted:
                if not admitted:
                    self._outbox.save(settlement, not_before=0.0)
                    return False
                try:
                    client = await self._clients.of(settlement.tenant)
                    await client.settle(settlement)
                except Exception:
                    log.exception("not settled, trying again", tenant=settlement.tenant, settlement=settlement.name)
                    self._outbox.postpone(settlement)
        return settlement.attempts == attempts
