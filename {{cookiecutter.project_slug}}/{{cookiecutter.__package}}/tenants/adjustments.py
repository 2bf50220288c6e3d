"""Funding and resetting of budgets, with a reference or period once forever."""

import uuid
from datetime import UTC, datetime, timedelta

from ..core.config import Settings
from ..core.problems import Problem
from .admin_api import AdminApi, AdminError
from .models import Adjustment, Tenant
from .registry import Registry

CLOCK_TOLERANCE = timedelta(hours=1)
REPEATABLE_FOR = timedelta(hours=24) - CLOCK_TOLERANCE
"""Cycles keeps idempotency keys for 24 hours: after that, nobody knows whether an interrupted request was applied."""
OPERATIONS = {"fund": "CREDIT", "reset": "RESET_SPENT"}


class Adjustments:
    """Changes ledgers by the Cycles Admin API. Amounts are microcents. Raises Problem."""

    def __init__(self, settings: Settings, registry: Registry, admin: AdminApi) -> None:
        self._settings = settings
        self._registry = registry
        self._admin = admin

    async def apply(self, tenant: Tenant, kind: str, amount: int, reference: str | None, *, again: bool) -> int | None:
        """Fund or reset a tenant's ledger and return what remains, or None if this reference was applied before.

        `again` applies an interrupted adjustment although it is unknown whether it was applied.
        """
        self._admin.require()
        adjustment = Adjustment(
            reference=f"{kind}:{reference}",
            tenant_id=tenant.id,
            kind=kind,
            amount=amount,
            idempotency_key=str(uuid.uuid4()),
        )
        return await (self._send(adjustment) if reference is None else self._once(adjustment, again=again))

    async def _send(self, adjustment: Adjustment) -> int:
        scope, operation = self._settings.scope_of(adjustment.tenant_id), OPERATIONS[adjustment.kind]
        return await self._admin.fund(scope, operation, adjustment.amount, adjustment.idempotency_key)

    async def _once(self, adjustment: Adjustment, *, again: bool) -> int | None:
        """Store the adjustment with its idempotency key before sending it, so that a later run repeats the request."""
        reference = adjustment.reference
        is_new = await self._registry.add(adjustment)
        stored = adjustment if is_new else await self._registry.adjustment(reference)
        if stored is None or (stored.tenant_id, stored.amount) != (adjustment.tenant_id, adjustment.amount):
            detail = f"{reference} was used before, with another tenant or amount. Use another one."
            raise Problem("reference_reused", detail)
        if stored.done_at is not None:
            return None
        if not -CLOCK_TOLERANCE <= datetime.now(UTC) - stored.created_at <= REPEATABLE_FOR:
            if again:
                await self._registry.drop_adjustment(reference)
                return await self._once(adjustment, again=False)
            begun = f"{reference} was begun on {stored.created_at:%Y-%m-%d %H:%M} UTC and interrupted."
            advice = "Cycles cannot tell anymore whether it was applied. Check the ledger; if not, use `--again`."
            raise Problem("outcome_unknown", f"{begun} {advice}")
        try:
            remaining = await self._send(stored)
        except AdminError as error:
            if is_new and error.changed_nothing:
                await self._registry.drop_adjustment(reference)
            raise
        stored.done_at = datetime.now(UTC)
        await self._registry.save(stored)
        return remaining
