"""Alerts of what a serving process sees: uncharged spend, a backlog that stays, Cycles out of reach."""

from datetime import datetime, timedelta

from ..budget.outbox import Outbox
from ..calls.models import Alert
from ..calls.store import CallStore
from ..core.money import format_usd
from .readiness import Readiness

STUCK_AFTER_S = 600.0
"""A settlement that waits for so long does not reach Cycles by itself."""


async def watch(now: datetime, outbox: Outbox, store: CallStore, readiness: Readiness) -> list[Alert]:
    """Return the alerts: over all processes one an hour for an outage, and one a day for each of the others."""
    uncharged, backlog = await store.uncharged(now - timedelta(hours=24)), outbox.backlog()
    is_stuck = backlog.oldest_s > STUCK_AFTER_S or backlog.set_aside
    waits = f"{backlog.count} settlements have not reached Cycles, the oldest for {backlog.oldest_s:.0f} s"
    day, is_down = f"{now:%Y-%m-%d}", (await readiness.checks())["cycles"] != "ok"
    found = [
        (uncharged, f"uncharged:{day}", f"Spend of ${format_usd(uncharged)} in the last 24 hours was not charged."),
        (is_stuck, f"backlog:{day}", f"{waits}; {backlog.set_aside} were set aside."),
        (is_down, f"cycles-unreachable:{now:%Y-%m-%dT%H}", "Cycles is out of reach."),
    ]
    return [Alert(id=name, text=text) for is_true, name, text in found if is_true]
