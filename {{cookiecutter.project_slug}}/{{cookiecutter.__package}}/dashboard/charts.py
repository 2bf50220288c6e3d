"""The geometry of the pictures: what the templates draw as SVG, and the table that tells the same in words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from ..budget.balances import Amounts
from ..calls.record import Refusals
from .records import HourlyBalance

WIDTH, HEIGHT = 100, 200
"""Of a chart's plane: per cent of the width that there is, and pixels."""
THRESHOLDS = (80, 95, 100)
"""Per cent of the allocation whose use is worth a line, and an alert."""


class Line(NamedTuple):
    """A threshold: per cent used, where it lies, and the microcents that are left there."""

    per_cent: int
    y: float
    remaining: int
    is_passed: bool


class Day(NamedTuple):
    """A row of the table: what was left at that time, and what would be at an even pace; microcents."""

    at: datetime
    remaining: int
    pace: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Burndown:
    """What is left of this month's budget. The lines are points of SVG's polyline; amounts in microcents.

    `left_at_end` is what the rate would leave at `end`; `runs_out` when it leaves nothing before that.
    """

    begin: datetime
    end: datetime
    actual: str
    pace: str
    projected: str
    now_x: float
    now_y: float
    lines: list[Line]
    days: list[Day]
    pace_now: int
    left_at_end: int
    runs_out: datetime | None


class Part(NamedTuple):
    """A piece of a stacked bar: how many for which reason, and where it lies."""

    reason: str
    calls: int
    y: float
    height: float


class Bar(NamedTuple):
    at: datetime
    x: float
    parts: list[Part]


class RefusalBars(NamedTuple):
    """Refused calls by hour and reason; `reasons` the most frequent first, `most` the highest bar."""

    bars: list[Bar]
    width: float
    reasons: dict[str, int]
    most: int


def month_of(now: datetime) -> tuple[datetime, datetime]:
    """The month's first moment, and the next one's."""
    begin = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return begin, (begin + timedelta(days=32)).replace(day=1)


def burndown(
    ledger: Amounts, hours: Sequence[HourlyBalance], burn: int, *, begun_at: datetime, now: datetime
) -> Burndown:
    """`hours` are this month's, oldest first; `burn` in microcents per hour; the ledger has something allocated."""
    first, end = month_of(now)
    begin = min(max(first, begun_at), now)
    top = max(ledger.allocated, ledger.remaining, *(hour.remaining for hour in hours), 1)
    whole_s = (end - begin).total_seconds()

    def point(at: datetime, amount: float) -> str:
        return f"{x_of(at):.2f},{y_of(amount):.1f}"

    def x_of(at: datetime) -> float:
        return min(1.0, max(0.0, (at - begin).total_seconds() / whole_s)) * WIDTH

    def y_of(amount: float) -> float:
        return (1 - max(0.0, amount) / top) * HEIGHT

    def pace_at(at: datetime) -> int:
        return int(ledger.allocated * (end - at).total_seconds() / whole_s)

    known = [(min(now, _end_of(hour.hour)), hour.remaining) for hour in hours if _end_of(hour.hour) > begin]
    known = [*(each for each in known if each[0] < now), (now, ledger.remaining)]
    left_at_end = int(ledger.remaining - burn * (end - now).total_seconds() / 3600)
    runs_out = None
    if left_at_end < 0 < ledger.remaining:
        runs_out = now + timedelta(hours=ledger.remaining / burn)
    last_of_day = {at.date(): (at, remaining) for at, remaining in known}
    return Burndown(
        begin=begin,
        end=end,
        actual=" ".join(point(at, remaining) for at, remaining in known),
        pace=f"{point(begin, ledger.allocated)} {point(end, 0)}",
        projected=f"{point(now, ledger.remaining)} {point(runs_out or end, max(0, left_at_end))}",
        now_x=round(x_of(now), 2),
        now_y=round(y_of(ledger.remaining), 1),
        lines=[_line(per_cent, ledger, y_of) for per_cent in THRESHOLDS],
        days=[Day(at, remaining, pace_at(at)) for at, remaining in last_of_day.values()],
        pace_now=pace_at(now),
        left_at_end=left_at_end,
        runs_out=runs_out,
    )


def refusal_bars(refusals: Sequence[Refusals], since: datetime, hours: int) -> RefusalBars:
    """Bars for `hours` hours from `since` on, which is a full hour."""
    first = int(since.timestamp()) // 3600
    totals: dict[str, int] = {}
    counts: dict[int, dict[str, int]] = {}
    for hour, reason, count in refusals:
        totals[reason] = totals.get(reason, 0) + count
        counts.setdefault(hour, {})[reason] = count
    reasons = dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))
    most = max((sum(parts.values()) for parts in counts.values()), default=0)
    step = WIDTH / hours
    bars = []
    for number in range(hours):
        parts, y = [], float(HEIGHT)
        for reason in reasons:
            if count := counts.get(first + number, {}).get(reason, 0):
                height = count / most * HEIGHT
                y -= height
                parts.append(Part(reason, count, round(y, 1), round(height, 1)))
        bars.append(Bar(since + timedelta(hours=number), round(number * step + step * 0.1, 2), parts))
    return RefusalBars(bars, round(step * 0.8, 2), reasons, most)


def _line(per_cent: int, ledger: Amounts, y_of: Callable[[float], float]) -> Line:
    remaining = ledger.allocated * (100 - per_cent) // 100
    return Line(per_cent, round(y_of(remaining), 1), remaining, ledger.remaining <= remaining)


def _end_of(hour: int) -> datetime:
    return datetime.fromtimestamp((hour + 1) * 3600, UTC)
