"""When budgets run out, as far as recent calls can tell."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from .query import DAY, HOUR, TenantBudget, this_minute

FEWEST_CALLS = 10
"""Paid calls of the last 24 hours that a forecast needs."""
MINUTE = timedelta(minutes=1)
NEAR = 14 * DAY
"""Ends that are nearer have a date."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a budget runs out, in words. `at` is None if there are too few calls to tell."""

    words: str
    at: datetime | None = None

    @property
    def is_near(self) -> bool:
        return self.at is not None and self.at - this_minute() < NEAR


def forecast(row: TenantBudget) -> Forecast | None:
    """Return when the budget runs out at the burn rate, or None if nothing was spent in the last 24 hours."""
    if not row.balance or not row.burn:
        return None
    if row.paid < FEWEST_CALLS:
        return Forecast("Not enough data")
    left = timedelta(hours=min(row.balance.remaining / row.burn, 10_000 * 24))
    at = this_minute() + max(left, MINUTE)
    if row.tenant.renews_at and row.tenant.renews_at <= at:
        return Forecast("Not before it renews", at)
    return Forecast(in_words(left), at)


def in_words(left: timedelta) -> str:
    """Return about how long from now that is: the farther, the rougher."""
    minutes, days = max(1, left // MINUTE), left // DAY
    if left < HOUR:
        return f"In {minutes} min"
    if left < DAY:
        return f"In {minutes // 60} h {minutes % 60} min"
    if left < NEAR:
        return "In 1 day" if days == 1 else f"In {days} days"
    if days < 60:
        return f"In about {round(days / 7)} weeks"
    return f"In about {round(days / 30.4)} months" if days < 365 else "In over a year"
