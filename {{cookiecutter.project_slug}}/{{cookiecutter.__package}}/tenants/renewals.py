"""Recurring budgets: each begins anew at its period's start, once per tenant and period.

A renewal is a row of `adjustments` before it is sent. Cycles answers what the ledger was before, and repeats that
answer for 24 hours, so another run can finish one that was killed anywhere.
"""

import uuid
from datetime import UTC, datetime
from typing import Any
from zoneinfo import available_timezones

import structlog

from ..alerts.delivery import Addresses
from ..alerts.models import Alert
from ..core.money import MAX_MICROCENTS, UNIT, format_usd
from ..core.problems import Problem
from .adjustments import Adjustments, is_repeatable
from .admin_api import AdminError
from .checks import find_tenant, microcents
from .models import Adjustment, Tenant
from .periods import NAMES, period_at

log = structlog.get_logger(__name__)


def schedule(every: str, timezone: str) -> dict[str, Any]:
    """Return the columns of a tenant whose budget begins anew every `month`, `week` or `day`, or never (`none`)."""
    if every == "none":
        return {"every": "", "time_zone": timezone, "renews_at": None}
    if every not in NAMES:
        raise Problem("usage", f"{every!r} is not a period. Use month, week, day or none.")
    if timezone not in available_timezones():
        raise Problem("usage", f"{timezone!r} is not a time zone. Use a name like Europe/Berlin or UTC.")
    return {"every": every, "time_zone": timezone, "renews_at": period_at(every, timezone, datetime.now(UTC)).end}


def unspent_credit(allocated: int, spent: int, budget: int) -> int:
    """Return what is left of the credit beyond the period's budget, which is spent first. All in microcents."""
    return max(0, min(allocated - spent, allocated - budget))


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
            changes = await self._reschedule(tenant, every or tenant.every or "none", timezone or tenant.time_zone)
        if budget is not None:
            changes["budget"] = microcents("budget", budget)
            if not changes.get("every", tenant.every):
                raise Problem("usage", "This budget does not recur. Add --every, or use `tenants reset`.")
        if alert_url is not None:
            changes["alert_urls"] = Addresses(self.settings).seal(alert_url)
        if not changes:
            raise Problem("usage", "Give --budget, --every, --timezone or --alert-url.")
        await self.registry.update_tenant(tenant_id, **changes)
        renews_at = changes.get("renews_at", tenant.renews_at)
        return {"tenant": tenant_id, "renews_at": renews_at.isoformat() if renews_at else None, "note": "updated"}

    async def renew_all(self, now: datetime) -> None:
        """Renew the budgets whose next period has begun. Raises AdminError if Cycles is out of reach."""
        if not self.admin.is_configured:
            return
        for tenant in await self.registry.tenants_to_renew(now):
            try:
                await self.renew(tenant, now)
            except Problem as problem:
                # without an answer, or with 401, the next would fail too
                if isinstance(problem, AdminError) and (problem.answered in (0, 401) or problem.answered >= 500):
                    raise
                log.error("budget not renewed", tenant=tenant.id, reason=problem.message)
                message = f"The budget of {tenant.id} did not begin anew: {problem.message}"
                await self.registry.add_alerts([Alert(id=f"renewal-refused:{tenant.id}:{now:%Y-%m-%d}", text=message)])

    async def renew(self, tenant: Tenant, now: datetime) -> None:
        """Renew one budget for the period of `now`, unless that was done. Periods missed before are skipped."""
        period = period_at(tenant.every, tenant.time_zone, now)
        reference = f"reset:{tenant.id}:{period.name}"
        row = await self.registry.adjustment(reference) or await self._begin(tenant, reference, now)
        budget = row.amount - row.credit
        if row.done_at is None and not is_repeatable(row, now):
            # it may have been applied: the smaller budget keeps more of the credit
            budget = min(tenant.period_budget, budget)
            message = f"It is unknown whether the budget of {tenant.id} began anew for {period.name}. "
            message += "Check its ledger, and run `tenants reset` without a period if it did not."
            await self.registry.add_alerts([Alert(id=f"renewal-unknown:{reference}", text=message)])
        elif row.done_at is None:
            await self._apply(tenant, row)
            row.done_at = now
            await self.registry.save(row)
        await self.registry.update_tenant(tenant.id, {"period_budget": tenant.period_budget}, period_budget=budget)
        await self.registry.update_tenant(tenant.id, {"renews_at": tenant.renews_at}, renews_at=period.end)

    async def _reschedule(self, tenant: Tenant, every: str, timezone: str) -> dict[str, Any]:
        """Return the columns of another schedule. A period that has begun under the old one begins first."""
        changes, now = schedule(every, timezone), datetime.now(UTC)
        if tenant.renews_at and tenant.renews_at <= now:
            self.admin.require()
            await self.renew(tenant, now)
        elif tenant.renews_at and every == tenant.every:  # between two midnights, the new period's must not be missed
            changes["renews_at"] = min(changes["renews_at"], tenant.renews_at)
        return changes

    async def _begin(self, tenant: Tenant, reference: str, now: datetime) -> Adjustment:
        """Return a new row, or that of a faster worker."""
        scope, credit = self.settings.scope_of(tenant.id), 0
        for ledger in await self.admin.ledgers(scope):
            if (ledger.scope, ledger.unit) == (scope, UNIT):
                credit = unspent_credit(ledger.allocated, ledger.spent, tenant.period_budget)
        credit = min(credit, MAX_MICROCENTS - tenant.budget)
        row = Adjustment(
            reference=reference,
            tenant_id=tenant.id,
            amount=tenant.budget + credit,
            credit=credit,
            idempotency_key=str(uuid.uuid4()),
            created_at=now,
        )
        if await self.registry.add(row):
            return row
        faster = await self.registry.adjustment(reference)
        if faster is None:  # refused meanwhile
            raise Problem("renewal_overtaken", "Another worker is renewing it.")
        return faster

    async def _apply(self, tenant: Tenant, row: Adjustment) -> None:
        """Reset the ledger, then correct the credit by what was funded or spent since it was read."""
        scope, key = self.settings.scope_of(tenant.id), row.idempotency_key
        try:
            before = await self.admin.fund(scope, "RESET_SPENT", row.amount, key)
        except AdminError as error:
            if 400 <= error.answered < 500:  # Cycles repeats its answer to what it has applied: this was not
                await self.registry.drop_adjustment(row.reference)
            raise
        missing = unspent_credit(before.previous_allocated, before.previous_spent, tenant.period_budget) - row.credit
        if missing:
            operation = "CREDIT" if missing > 0 else "DEBIT"
            try:
                await self.admin.fund(scope, operation, abs(missing), f"{key}-credit")
            except AdminError as error:
                if not 400 <= error.answered < 500:
                    raise
                amount = f"{operation} {format_usd(abs(missing))}"
                log.warning("credit not corrected", tenant=tenant.id, correction=amount, reason=error.message)
