"""Data of the charts. The templates draw them as SVG and repeat them as tables for screen readers."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from .query import HOUR, TOP

OTHERS = "Others"

Share = tuple[str | None, int, int]
"""A name, its microcents and calls."""


class Usage(NamedTuple):
    """Calls that count in one bar: `series` is a model or tenant, `refusal` the code that refused them, or None."""

    bar: int
    series: str | None
    route: str | None
    refusal: str | None
    cost: int
    calls: int


@dataclass(slots=True)
class Bar:
    """An hour or a day of spend over time: microcents by series, and the number of refused calls."""

    at: datetime
    parts: Counter[str] = field(default_factory=Counter)
    refused: int = 0


@dataclass(frozen=True, slots=True)
class SpendChart:
    """Spend over time: `series` with their sums, the largest first, and the refused calls by reason."""

    bars: list[Bar]
    series: dict[str, int]
    reasons: dict[str, int]
    calls: int

    @property
    def top(self) -> int:
        """Where the scale ends, in microcents."""
        return round_up(max(sum(bar.parts.values()) for bar in self.bars))

    @property
    def most_refused(self) -> int:
        return max(bar.refused for bar in self.bars)


def spend_chart(rows: Iterable[Usage], bars: Sequence[datetime]) -> SpendChart:
    """Return the chart of bars that begin at these times."""
    drawn, sums, reasons, calls = [Bar(at) for at in bars], Counter[str](), Counter[str](), 0
    for row in rows:
        sums[row.series or OTHERS] += row.cost
    named = [name for name, cost in sums.most_common() if cost and name != OTHERS][:TOP]
    for row in rows:
        bar = drawn[row.bar]
        bar.parts[row.series if row.series in named else OTHERS] += row.cost
        if row.refusal:
            bar.refused += row.calls
            reasons[row.refusal] += row.calls
        else:
            calls += row.calls
    series = {name: sum(bar.parts[name] for bar in drawn) for name in (*named, OTHERS)}
    return SpendChart(drawn, {name: cost for name, cost in series.items() if cost}, dict(reasons.most_common()), calls)


def shares(rows: Iterable[Usage], kind: str) -> list[Share]:
    """Return all that was spent by `kind` (series or route), the largest first."""
    costs, calls = Counter[str](), Counter[str]()
    for row in rows:
        costs[getattr(row, kind)] += row.cost
        calls[getattr(row, kind)] += 0 if row.refusal else row.calls
    return [(name, cost, calls[name]) for name, cost in costs.most_common() if cost]


def with_others(largest: Sequence[Share], whole: Sequence[Share]) -> list[Share]:
    """Return the first TOP shares, and what is missing from the sum of `whole`, if anything."""
    named = list(largest[:TOP])
    cost = sum(share[1] for share in whole) - sum(share[1] for share in named)
    calls = sum(share[2] for share in whole) - sum(share[2] for share in named)
    return [*named, (OTHERS, cost, max(0, calls))] if cost > 0 else named


def round_up(amount: int) -> int:
    """Return the next round amount for a scale: 1, 2, 4, 5 or 8 and zeros."""
    unit: int = 10 ** (len(str(amount)) - 1)
    return next(digit * unit for digit in (1, 2, 4, 5, 8, 10) if digit * unit >= amount)


class Change(NamedTuple):
    """A credit (`fund`) or `reset` of a budget, in microcents."""

    at: datetime
    verb: str
    amount: int

    @classmethod
    def of(cls, at: datetime, action: str) -> "Change | None":
        """Return the change that an action of the audit log is, if any."""
        found = re.fullmatch(r"(fund|reset) ([\d.]+)", action)
        return cls(at, found[1], int(Decimal(found[2]).scaleb(8))) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Burndown:
    """What remains of a period's budget, in microcents.

    `points` are known amounts, oldest first, ending now; `burn` is in microcents per hour, 0 without a forecast.
    `pace_from` is where the even pace begins: the period, or the last of the `changes`.
    """

    begin: datetime
    end: datetime
    allocated: int
    burn: int
    points: list[tuple[datetime, int]]
    changes: Sequence[Change] = ()
    pace_from: tuple[datetime, int]

    @property
    def days(self) -> list[tuple[datetime, int]]:
        """The last point of each day."""
        return list({at.date(): (at, remaining) for at, remaining in self.points}.values())

    @property
    def top(self) -> int:
        """Where the scale ends, in microcents."""
        return max(self.allocated, *(remaining for _, remaining in self.points), 1)

    def pace(self, at: datetime) -> int:
        """Return what an even pace would leave."""
        begin, amount = self.pace_from
        return int(amount * ((self.end - at) / (self.end - begin)))

    def projection(self, at: datetime) -> int:
        """Return what the burn rate would leave."""
        now, remaining = self.points[-1]
        return max(0, int(remaining - self.burn * ((at - now) / HOUR)))

    def x(self, at: datetime) -> float:
        """Return a time's place in per cent of the width."""
        return round(min(1.0, max(0.0, (at - self.begin) / (self.end - self.begin))) * 100, 2)

    def y(self, amount: int, height: int) -> float:
        """Return an amount's place below the top of a chart of this height."""
        return round((1 - max(0, amount) / self.top) * height, 1)


def burndown(
    points: Iterable[tuple[datetime, int]], changes: Sequence[Change], begin: datetime, end: datetime, **figures: int
) -> Burndown:
    """Return the chart of a budget. Calls do not show what a change did, so it adds points before and after each."""
    drawn, pace_from = list(points), (begin, figures["allocated"])
    for change in changes:
        before = next((remaining for at, remaining in reversed(drawn) if at <= change.at), None)
        after = change.amount if change.verb == "reset" else None if before is None else before + change.amount
        drawn += [(change.at, amount) for amount in (before, after) if amount is not None]
        drawn.sort(key=lambda point: point[0])
        pace_from = (change.at, figures["allocated"] if after is None else after)
    return Burndown(begin=begin, end=end, points=drawn, changes=changes, pace_from=pace_from, **figures)


def month_of(now: datetime) -> tuple[datetime, datetime]:
    """Return the begin of this month and of the next."""
    begin = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return begin, (begin + timedelta(days=32)).replace(day=1)
