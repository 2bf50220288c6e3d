"""Stores balances and reports the budget thresholds they cross, once over all workers."""

import secrets
from collections.abc import Sequence

from ..core.logging import log
from ..core.metrics import CROSSINGS
from ..core.money import format_usd
from .models import Alert, Balance
from .store import CallStore

THRESHOLDS = (80, 95, 100)
"""Per cent of the allocation that are worth an alert when spent."""


async def save_balances(store: CallStore, balances: Sequence[Balance]) -> None:
    """Store the balances that are newer than the stored ones, and report the thresholds they cross."""
    before = await store.balances([balance.tenant_id for balance in balances])
    await store.save_balances(balances)
    for balance in balances:
        stored = before.get(balance.tenant_id)
        if stored is None or stored.at <= balance.at:
            await _report(store, balance, stored)


async def _report(store: CallStore, now: Balance, before: Balance | None) -> None:
    """Log, count and store as alert each threshold crossed since `before`. A reset or a raise starts over."""
    reported = before.reported if before else 0
    used = now.spent + now.debt
    crossed = [per_cent for per_cent in THRESHOLDS if used * 100 >= per_cent * now.allocated > 0]
    highest, new = max(crossed, default=0), [per_cent for per_cent in crossed if per_cent > reported]
    alerts = [_alert(now, per_cent, used) for per_cent in new]
    if highest != reported and await store.move_reported(now.tenant_id, reported, highest, alerts):
        for per_cent in new:
            amounts = {"allocated": now.allocated, "spent": now.spent}
            log.warning("budget threshold crossed", tenant=now.tenant_id, per_cent=per_cent, **amounts)
            CROSSINGS.labels(per_cent).inc()


def _alert(now: Balance, per_cent: int, used: int) -> Alert:
    text = f"{now.tenant_id} has used {per_cent}% of its budget: ${format_usd(used)} of ${format_usd(now.allocated)}."
    name = f"threshold:{now.tenant_id}:{per_cent}:{secrets.token_hex(8)}"
    return Alert(id=name, tenant_id=now.tenant_id, text=text)
