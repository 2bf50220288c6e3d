"""Recurring budgets: each renews at its period's start, once per tenant and period."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import available_timezones

import structlog

from ..calls.models import Alert
from ..core.problems import Problem
from .adjustments import Adjustments
from .admin_api import AdminError
from .alerts import seal
from .checks import find_tenant, microcents
from .models import Tenant
from .periods import NAMES, period_at

log = structlog.get_logger(__name__)


def schedule(every: str, timezone: str) -> dict[str, Any]:
    """Return the columns of a tenant whose budget renews every `month`, `week` or `day`, or never (`none`)."""
    if every not in (*NAMES, "none"):
        raise Problem("usage", f"{every!r} is not a period. Use month, week, day or none.")
    if timezone not in available_timezones():
        raise Problem("usage", f"{timezone!r} is not a time zone. Use a name like Europe/Berlin or UTC.")
    renews_at = None if every == "none" else period_at(every, timezone, datetime.now(UTC)).end
    return {"every": every, "time_zone": timezone, "renews_at": renews_at}


class Renewals(Adjustments):
    """Raises Problem, in an operator's words."""

    async def update(
        self,
        tenant_id: str,
        budget: str | None = None,
        every: str | None = None,
        timezone: str | None = None,
        alert_url: str | None = None,
    ) -> dict[str, Any]:
        """Change a tenant's recurring budget from its next period on, or where its alerts go."""
        tenant = await find_tenant(self.registry, tenant_id)
        changes: dict[str, Any] = {}
        if every or timezone:
            changes = await self._reschedule(tenant, every or tenant.every, timezone or tenant.time_zone)
        if budget is not None:
            changes["budget"] = microcents("budget", budget)
            if changes.get("every", tenant.every) == "none":
                raise Problem("usage", "This budget does not recur. Add --every, or use `tenants reset`.")
        if alert_url is not None:
            changes["alert_urls"] = seal(self.settings, alert_url)
        if not changes:
            raise Problem("usage", "Give --budget, --every, --timezone or --alert-url.")
        await self.registry.update_tenant(tenant_id, **changes)
        renews_at = changes.get("renews_at", tenant.renews_at)
        return {"tenant": tenant_id, "renews_at": renews_at.isoformat() if renews_at else None, "note": "updated"}

    async def renew_all(self, now: datetime) -> None:
        """Renew the budgets whose next period has begun. Raise AdminError at last if Cycles failed for any."""
        failed: Problem | None = None
        for tenant in await self.registry.tenants_to_renew(now):
            try:
                await self.renew(tenant, now)
            except Problem as problem:
                log.error("budget not renewed", tenant=tenant.id, reason=problem.message)
                if isinstance(problem, AdminError) and (problem.answered in (0, 401) or problem.answered >= 500):
                    failed = problem
                    if problem.answered < 500:  # without an answer, or with 401, the next would fail too
                        break
                    continue
                text = f"The budget of {tenant.id} was not renewed: {problem.message}"
                await self.registry.add_alerts([Alert(id=f"renewal:{tenant.id}:{now:%Y-%m-%d}", text=text)])
                if problem.code == "outcome_unknown":  # never sent again; the smaller budget keeps more of the credit
                    await self._wait_for_next(tenant, now, period_budget=min(tenant.budget, tenant.period_budget))
        if failed:
            raise failed

    async def renew(self, tenant: Tenant, now: datetime) -> None:
        """Renew one budget for the period of `now`, unless that was done. Periods missed before are skipped."""
        reference = f"{tenant.id}:{period_at(tenant.every, tenant.time_zone, now).name}"
        begun = await self.registry.adjustment(f"reset:{reference}")
        amount = begun.amount if begun else tenant.budget
        await self.adjust(tenant.id, "reset", amount, reference, created_at=now, keeps_above=tenant.period_budget)
        await self._wait_for_next(tenant, now)

    async def _wait_for_next(self, tenant: Tenant, now: datetime, **changes: Any) -> None:
        end = period_at(tenant.every, tenant.time_zone, now).end
        await self.registry.update_tenant(tenant.id, {"renews_at": tenant.renews_at}, renews_at=end, **changes)

    async def _reschedule(self, tenant: Tenant, every: str, timezone: str) -> dict[str, Any]:
        """Return the columns of another schedule. A period that has begun under the old one begins first."""
        changes, now = schedule(every, timezone), datetime.now(UTC)
        if tenant.renews_at and tenant.renews_at <= now:
            await self.renew(tenant, now)
        elif tenant.renews_at and every == tenant.every:  # between two midnights, the new period's must not be missed
            changes["renews_at"] = min(changes["renews_at"], tenant.renews_at)
        return changes
