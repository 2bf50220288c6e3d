"""Data of the charts. The templates draw them as SVG and repeat them as tables for screen readers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from ..budget.balances import Ledger
from ..calls.models import Balance
from ..calls.thresholds import THRESHOLDS
from ..calls.totals import Refusals


class Threshold(NamedTuple):
    """What remains, in microcents, when `per_cent` of the allocation is used."""

    per_cent: int
    remaining: int
    is_crossed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Burndown:
    """What remains of this month's budget, in microcents.

    `points` are known amounts, oldest first, ending now. `remaining_at_end` is what the burn rate would leave at `end`;
    `runs_out` is when it leaves nothing, if that is earlier.
    """

    begin: datetime
    end: datetime
    allocated: int
    points: list[tuple[datetime, int]]
    remaining_at_end: int
    runs_out: datetime | None

    @property
    def now(self) -> datetime:
        return self.points[-1][0]

    @property
    def remaining(self) -> int:
        return self.points[-1][1]

    @property
    def days(self) -> list[tuple[datetime, int]]:
        """The last point of each day."""
        return list({at.date(): (at, remaining) for at, remaining in self.points}.values())

    @property
    def thresholds(self) -> list[Threshold]:
        amounts = [(per_cent, self.allocated * (100 - per_cent) // 100) for per_cent in THRESHOLDS]
        return [Threshold(per_cent, amount, self.remaining <= amount) for per_cent, amount in amounts]

    def pace(self, at: datetime) -> int:
        """Return what an even pace would leave."""
        return int(self.allocated * ((self.end - at) / (self.end - self.begin)))

    def x(self, at: datetime) -> float:
        """Return a time's place in per cent of the width."""
        return round(min(1.0, max(0.0, (at - self.begin) / (self.end - self.begin))) * 100, 2)

    def y(self, amount: int, height: int) -> float:
        """Return an amount's place below the top of a chart of this height."""
        top = max(self.allocated, *(remaining for _, remaining in self.points), 1)
        return round((1 - max(0, amount) / top) * height, 1)


class RefusalChart(NamedTuple):
    """Refused calls of some hours from `since` on.

    `calls` by (hour, reason), hours counted from 0; `reasons` with their calls, the most frequent first; `most` in one
    hour.
    """

    since: datetime
    hours: int
    calls: dict[tuple[int, str], int]
    reasons: dict[str, int]
    most: int

    def time(self, hour: int) -> datetime:
        return self.since + timedelta(hours=hour)


def month_of(now: datetime) -> tuple[datetime, datetime]:
    """Return the begin of this month and of the next."""
    begin = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return begin, (begin + timedelta(days=32)).replace(day=1)


def burndown(
    ledger: Ledger | Balance, history: Sequence[tuple[datetime, int]], burn: int, *, created_at: datetime, now: datetime
) -> Burndown:
    """Return the chart of this month, or of its part since the tenant was created.

    `history` is what remained after calls, oldest first; `burn` is in microcents per hour.
    """
    first, end = month_of(now)
    begin = min(max(first, created_at), now)
    remaining_at_end = int(ledger.remaining - burn * ((end - now) / timedelta(hours=1)))
    runs_out = None
    if remaining_at_end < 0 < ledger.remaining:
        runs_out = now + timedelta(hours=ledger.remaining / burn)
    return Burndown(
        begin=begin,
        end=end,
        allocated=ledger.allocated,
        points=[*(point for point in history if begin < point[0] < now), (now, ledger.remaining)],
        remaining_at_end=remaining_at_end,
        runs_out=runs_out,
    )


def refusal_chart(refusals: Sequence[Refusals], since: datetime, hours: int) -> RefusalChart:
    """Return the chart of `hours` hours from `since` on, which is a full hour."""
    first = int(since.timestamp()) // 3600
    reasons, by_hour = Counter[str](), Counter[int]()
    for hour, reason, count in refusals:
        reasons[reason] += count
        by_hour[hour] += count
    calls = {(hour - first, reason): count for hour, reason, count in refusals}
    ordered = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return RefusalChart(since, hours, calls, ordered, max(by_hour.values(), default=0))
