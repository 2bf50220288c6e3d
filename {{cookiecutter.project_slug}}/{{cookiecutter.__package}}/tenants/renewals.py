"""Recurring budgets: each renews at its period's start, once per tenant and period."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import available_timezones

from ..calls.models import Alert
from ..core.logging import log
from ..core.problems import Problem
from .adjustments import Adjustments
from .admin_api import AdminError
from .models import Adjustment, Tenant
from .periods import NAMES, period_at


def schedule(every: str, timezone: str) -> dict[str, Any]:
    """Return the columns of a tenant whose budget renews every `month`, `week` or `day`, or never (`none`)."""
    if every not in (*NAMES, "none"):
        raise Problem("usage", f"{every!r} is not a period. Use month, week, day or none.")
    if timezone not in available_timezones():
        raise Problem("usage", f"{timezone!r} is not a time zone. Use a name like Europe/Berlin or UTC.")
    renews_at = None if every == "none" else period_at(every, timezone, datetime.now(UTC)).end
    return {"every": every, "time_zone": timezone, "renews_at": renews_at}


async def renew_all(adjustments: Adjustments, now: datetime) -> None:
    """Renew the budgets whose next period has begun. Raise AdminError at last if Cycles failed for any."""
    failed: Problem | None = None
    for tenant in await adjustments.registry.tenants_to_renew(now):
        try:
            await renew(adjustments, tenant, now)
        except Problem as problem:
            log.error("budget not renewed", tenant=tenant.id, reason=problem.message)
            if isinstance(problem, AdminError) and (problem.answered in (0, 401) or problem.answered >= 500):
                failed = problem
                if problem.answered < 500:  # without an answer, or with 401, the next would fail too
                    break
                continue
            text = f"The budget of {tenant.id} was not renewed: {problem.message}"
            await adjustments.registry.add_alerts([Alert(id=f"renewal:{tenant.id}:{now:%Y-%m-%d}", text=text)])
            if problem.code == "outcome_unknown":  # never sent again
                # the smaller one keeps more of the credit
                await _wait_for_next(adjustments, tenant, now, period_budget=min(tenant.budget, tenant.period_budget))
    if failed:
        raise failed


async def renew(adjustments: Adjustments, tenant: Tenant, now: datetime) -> None:
    """Renew one budget for the period of `now`, unless that was done. Periods missed before are skipped."""
    reference = f"{tenant.id}:{period_at(tenant.every, tenant.time_zone, now).name}"
    begun = await adjustments.registry.get(Adjustment, f"reset:{reference}")
    amount = begun.amount if begun else tenant.budget
    await adjustments.adjust(tenant.id, "reset", amount, reference, created_at=now, keeps_above=tenant.period_budget)
    await _wait_for_next(adjustments, tenant, now)


async def reschedule(adjustments: Adjustments, tenant: Tenant, every: str, timezone: str) -> dict[str, Any]:
    """Return the columns of another schedule. A period that has begun under the old one begins first, if active.

    Raise Problem, in an operator's words.
    """
    changes, now = schedule(every, timezone), datetime.now(UTC)
    is_due = tenant.renews_at is not None and tenant.renews_at <= now
    if is_due and tenant.status == "active":
        await renew(adjustments, tenant, now)
    if tenant.renews_at and every == tenant.every:
        before, period = (period_at(every, zone, now) for zone in (tenant.time_zone, timezone))
        # due when it is resumed, or begun in the new time zone only
        if (is_due and tenant.status == "suspended") or period.name > before.name:
            changes["renews_at"] = period.start
    return changes


async def _wait_for_next(adjustments: Adjustments, tenant: Tenant, now: datetime, **changes: Any) -> None:
    end = period_at(tenant.every, tenant.time_zone, now).end
    await adjustments.registry.update_tenant(tenant.id, {"renews_at": tenant.renews_at}, renews_at=end, **changes)
