"""Data of the charts. The templates draw them as SVG and repeat them as tables for screen readers."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

HOUR = timedelta(hours=1)
REFUSAL_HOURS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Burndown:
    """What remains of a month's budget, in microcents.

    `points` are known amounts, oldest first, ending now; `burn` is in microcents per hour.
    """

    begin: datetime
    end: datetime
    allocated: int
    burn: int
    points: list[tuple[datetime, int]]

    @property
    def days(self) -> list[tuple[datetime, int]]:
        """The last point of each day."""
        return list({at.date(): (at, remaining) for at, remaining in self.points}.values())

    def pace(self, at: datetime) -> int:
        """Return what an even pace would leave."""
        return int(self.allocated * ((self.end - at) / (self.end - self.begin)))

    def projection(self, at: datetime) -> int:
        """Return what the burn rate would leave."""
        now, remaining = self.points[-1]
        return int(remaining - self.burn * ((at - now) / HOUR))

    def x(self, at: datetime) -> float:
        """Return a time's place in per cent of the width."""
        return round(min(1.0, max(0.0, (at - self.begin) / (self.end - self.begin))) * 100, 2)

    def y(self, amount: int, height: int) -> float:
        """Return an amount's place below the top of a chart of this height."""
        top = max(self.allocated, *(remaining for _, remaining in self.points), 1)
        return round((1 - max(0, amount) / top) * height, 1)


def month_of(now: datetime) -> tuple[datetime, datetime]:
    """Return the begin of this month and of the next."""
    begin = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return begin, (begin + timedelta(days=32)).replace(day=1)


def refusal_chart(refusals: dict[tuple[int, str], int], since: datetime) -> dict[str, Any]:
    """Return the chart of refused calls by (hour since 1970, reason), from a full hour on.

    `hours` are the times at which the hours begin, `reasons` the most frequent first, `most` the calls in one hour.
    """
    reasons, by_hour = Counter[str](), Counter[int]()
    for (hour, reason), calls in sorted(refusals.items()):
        reasons[reason] += calls
        by_hour[hour] += calls
    first = int(since.timestamp()) // 3600
    hours = {first + number: since + number * HOUR for number in range(REFUSAL_HOURS)}
    most = max(by_hour.values(), default=0)
    return {"calls": refusals, "hours": hours, "reasons": dict(reasons.most_common()), "most": most}
