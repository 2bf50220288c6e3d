"""Funding and resetting of budgets, with a reference or period once forever."""

import uuid
from datetime import timedelta
from typing import Any

from ..core.problems import Problem
from .admin_api import AdminError, Funded
from .checks import Operations
from .models import Adjustment

CLOCK_TOLERANCE = timedelta(hours=1)
REPEATABLE_FOR = timedelta(hours=24) - CLOCK_TOLERANCE
"""Cycles keeps idempotency keys for 24 hours: after that, nobody knows whether an interrupted request was applied."""


class Adjustments(Operations):
    """Changes ledgers by the Cycles Admin API. Amounts are microcents. Raises Problem."""

    async def adjust(self, tenant_id: str, kind: str, amount: int, reference: str | None, **columns: Any) -> int | None:
        """Fund or reset a tenant's ledger and return what remains, or None if this reference was applied before.

        One with a reference is stored before it is sent, so that a later run repeats the same request. `columns` are
        others of the adjustment.
        """
        self.admin.require()
        key = str(uuid.uuid4())
        wanted = Adjustment(
            reference=f"{kind}:{reference}", tenant_id=tenant_id, amount=amount, idempotency_key=key, **columns
        )
        if reference is None:
            return await self._finish(wanted, await self._send(wanted))
        is_new = await self.registry.add(wanted)
        stored = wanted if is_new else await self._earlier(wanted)
        if stored.done_at is not None:
            return None
        try:
            answer = await self._send(stored)
        except AdminError as error:
            if is_new and 400 <= error.answered < 500:  # refused: another amount may use the reference
                await self.registry.drop_adjustment(stored.reference)
            raise
        remaining = await self._finish(stored, answer)
        stored.done_at = wanted.created_at
        await self.registry.save(stored)
        return remaining

    async def _earlier(self, wanted: Adjustment) -> Adjustment:
        """Return the adjustment of an earlier run, done or safe to repeat."""
        reference = wanted.reference
        stored = await self.registry.get(Adjustment, reference)
        if stored is None or (stored.tenant_id, stored.amount) != (wanted.tenant_id, wanted.amount):
            raise Problem("reference_reused", "This form or reference had another tenant or amount. Use a new one.")
        age = wanted.created_at - stored.created_at
        if stored.done_at is None and not -CLOCK_TOLERANCE <= age <= REPEATABLE_FOR:
            begun = f"{reference} was interrupted on {stored.created_at:%Y-%m-%d %H:%M} UTC: it may have been applied."
            advice = "Check the ledger. If it was not, repeat it without this reference."
            raise Problem("outcome_unknown", f"{begun} {advice}")
        return stored

    async def _send(self, adjustment: Adjustment) -> Funded:
        operation = "CREDIT" if adjustment.reference.startswith("fund:") else "RESET_SPENT"
        scope = self.settings.scope_of(adjustment.tenant_id)
        return await self.admin.fund(scope, operation, adjustment.amount, adjustment.idempotency_key)

    async def _finish(self, adjustment: Adjustment, answer: Funded) -> int:
        """Complete a reset by what Cycles answered, which is the same if it is sent again. Return what remains."""
        tenant, above = adjustment.tenant_id, adjustment.keeps_above
        if adjustment.reference.startswith("fund:"):
            return answer.new_remaining
        if above is not None and (credit := answer.previous_allocated - max(answer.previous_spent, above)) > 0:
            key = f"{adjustment.idempotency_key}-credit"
            answer = await self.admin.fund(self.settings.scope_of(tenant), "CREDIT", credit, key)
        await self.registry.update_tenant(tenant, period_budget=adjustment.amount)
        return answer.new_remaining
