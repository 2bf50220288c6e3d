"""Housekeeping: all that has to happen over time. Every step may run in several processes, or be cut anywhere."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import structlog

from ..alerts.delivery import BATCH, LEASE, Addresses, deliver
from ..alerts.models import Alert
from ..core.config import Settings
from ..core.metrics import HOUSEKEEPING
from ..tenants.findings import EXPIRES_SOON
from ..tenants.registry import Registry
from ..tenants.service import tenant_service

log = structlog.get_logger(__name__)

EVERY_S = 30.0
KEPT_FOR = timedelta(days=90)
"""Delivered alerts are deleted after this."""
MOST_KEYS = 1_000
Watch = Callable[[datetime], Awaitable[list[Alert]]]
"""Returns alerts of what this process sees."""


class Housekeeping:
    """The steps. Those that need admin access are left to other processes where there is none."""

    def __init__(self, settings: Settings, registry: Registry, watch: Watch | None = None) -> None:
        self._settings = settings
        self._registry = registry
        self._watch = watch
        self.last_success: datetime | None = None
        """When all steps last succeeded, in any process that has admin access. Known after the first pass."""

    async def run(self) -> None:
        """Run all steps again and again, until cancelled."""
        while True:
            await self.once(datetime.now(UTC))
            await asyncio.sleep(EVERY_S)

    async def once(self, now: datetime) -> list[str]:
        """Run each step and return the names of those that failed. What failed is logged, and due again."""
        failed = []
        for step in (self.retire_keys, self.renew_budgets, self.find_alerts, self.deliver_alerts):
            try:
                await step(now)
            except Exception:
                log.exception("housekeeping step failed, trying again", step=step.__name__)
                failed.append(step.__name__)
        try:
            if self._settings.cycles_admin_url and self._settings.cycles_admin_api_key and not failed:
                await self._registry.succeeded(now)
            self.last_success = await self._registry.last_success()
        except Exception:
            log.exception("success of housekeeping not recorded")
            failed.append("record")
        HOUSEKEEPING.set(self.last_success.timestamp() if self.last_success else 0)
        return failed

    async def retire_keys(self, _: datetime) -> None:
        """Revoke rotated Cycles keys whose grace period has ended."""
        async with tenant_service(self._settings, self._registry) as service:
            await service.retire_keys()

    async def renew_budgets(self, now: datetime) -> None:
        """Begin the budgets anew whose next period has begun."""
        async with tenant_service(self._settings, self._registry) as service:
            await service.renew_all(now)

    async def find_alerts(self, now: datetime) -> None:
        """Store alerts for keys that expire, and for what this process sees. Delete old ones."""
        alerts = await self._watch(now) if self._watch else []
        for tenant in await self._registry.keys_that_expire(now + EXPIRES_SOON, MOST_KEYS):
            text = f"The Cycles key of {tenant.id} expires at {tenant.cycles_key_expires_at:%Y-%m-%d %H:%M} UTC."
            alerts.append(Alert(id=f"key-expires:{tenant.id}:{tenant.cycles_key_id}", text=text))
        await self._registry.add_alerts(alerts)
        await self._registry.drop_alerts(now - KEPT_FOR)

    async def deliver_alerts(self, now: datetime) -> None:
        """Send the alerts that are due, each in one worker."""
        addresses = Addresses(self._settings)
        for alert in await self._registry.due_alerts(now, BATCH):
            if await self._registry.claim_alert(alert, now + LEASE):
                tenant = await self._registry.tenant(alert.tenant_id) if alert.tenant_id else None
                urls = addresses.common + (addresses.open(tenant.alert_urls) if tenant else [])
                await deliver(self._registry, alert, urls, now)
