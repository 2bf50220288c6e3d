"""Housekeeping: all that has to happen over time. Every step may run in several processes, or be cut anywhere."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..calls.models import Alert, Success
from ..core.config import Settings
from ..core.logging import log
from ..core.metrics import HOUSEKEEPING
from ..tenants.alerts import deliver, unseal
from ..tenants.findings import EXPIRES_SOON
from ..tenants.registry import DATABASE_ERRORS, Registry
from ..tenants.renewals import renew_all
from ..tenants.service import tenant_service

EVERY_S = 30.0
LEASE = timedelta(minutes=5)
"""How long alerts belong to the worker that is sending them: longer than a batch takes."""


@dataclass
class Housekeeping:
    """The steps. Without admin access, other processes do what needs it.

    `watch` returns alerts of what this process sees. `last_success` is when all steps last succeeded in a process with
    admin access; it is known after the first pass.
    """

    settings: Settings
    registry: Registry
    watch: Callable[[datetime], Awaitable[list[Alert]]] | None = None
    last_success: datetime | None = None

    async def run(self) -> None:
        """Run all steps again and again, until cancelled."""
        while True:
            await self.once(datetime.now(UTC))
            await asyncio.sleep(EVERY_S)

    async def once(self, now: datetime) -> list[str]:
        """Run each step and return the names of those that failed. What failed is logged, and due again."""
        failed = []
        for step in (self.manage_tenants, self.find_alerts, self.deliver_alerts):
            try:
                await step(now)
            except Exception:
                log.exception("housekeeping step failed, trying again", step=step.__name__)
                failed.append(step.__name__)
        with suppress(*DATABASE_ERRORS):  # of which the steps have told
            if self.settings.cycles_admin_api_key and not failed:
                await self.registry.save(Success(id=1, at=now))
            self.last_success = await self.registry.last_success()
            HOUSEKEEPING.set(self.last_success.timestamp() if self.last_success else 0)
        return failed

    async def manage_tenants(self, now: datetime) -> None:
        """Renew the budgets whose next period has begun, and revoke rotated keys, given admin access."""
        async with tenant_service(self.settings, self.registry) as service:
            if service.admin.is_configured:
                await renew_all(service.adjustments, now)
                texts = [f"{found.message}." for found in await service.accounts.tend_keys()]
                await self.registry.add_alerts([Alert(id=f"shared-key:{now:%Y-%m-%d}", text=text) for text in texts])

    async def find_alerts(self, now: datetime) -> None:
        """Store alerts for keys that expire, and for what this process sees."""
        alerts = await self.watch(now) if self.watch else []
        for tenant in await self.registry.keys_that_expire(now + EXPIRES_SOON, 1_000):
            text = f"The Cycles key of {tenant.id} expires at {tenant.cycles_key_expires_at:%Y-%m-%d %H:%M} UTC."
            alerts.append(Alert(id=f"key-expires:{tenant.id}:{tenant.cycles_key_id}", text=text))
        await self.registry.add_alerts(alerts)

    async def deliver_alerts(self, now: datetime) -> None:
        """Send the alerts that are due, each in one worker."""
        alerts = await self.registry.claim_alerts(now, now + LEASE)
        await asyncio.gather(*(self._deliver(alert, now) for alert in alerts))

    async def _deliver(self, alert: Alert, now: datetime) -> None:
        urls = [url.get_secret_value() for url in self.settings.alert_urls]
        if alert.tenant_id and (tenant := await self.registry.tenant(alert.tenant_id)):
            urls += unseal(self.settings, tenant.alert_urls)
        await deliver(alert, urls, now)
        await self.registry.save(alert)
