"""Alerts of what a serving process sees: uncharged spend, a backlog that stays, Cycles out of reach."""

from datetime import datetime, timedelta

from ..alerts.models import Alert
from ..budget.client import Clients
from ..calls.store import CallStore
from ..core.money import format_usd
from .readiness import Readiness

STUCK_AFTER_S = 600.0
"""A settlement that waits for so long does not reach Cycles by itself."""


async def watch(now: datetime, clients: Clients, store: CallStore, readiness: Readiness) -> list[Alert]:
    """Return the alerts: over all processes one an hour for an outage, and one a day for each of the others."""
    alerts, day = [], f"{now:%Y-%m-%d}"
    if amount := await store.uncharged(now - timedelta(hours=24)):
        text = f"Spend of ${format_usd(amount)} in the last 24 hours could not be charged to any budget."
        alerts.append(Alert(id=f"uncharged:{day}", text=text))
    backlog = clients.outbox.backlog()
    if backlog.oldest_s > STUCK_AFTER_S:
        text = f"{backlog.count} settlements have not reached Cycles, the oldest for {backlog.oldest_s:.0f} s."
        alerts.append(Alert(id=f"backlog:{day}", text=text))
    if backlog.set_aside:
        text = f"{backlog.set_aside} settlements were set aside and are not sent. See docs/money.md."
        alerts.append(Alert(id=f"set-aside:{day}", text=text))
    if (await readiness.checks())["cycles"] != "ok":
        alerts.append(Alert(id=f"cycles-unreachable:{now:%Y-%m-%dT%H}", text="Cycles is out of reach."))
    return alerts
