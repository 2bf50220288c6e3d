"""Data of the charts. The templates draw them as SVG and repeat them as tables for screen readers."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from .query import HOUR

Usage = tuple[str, int, str | None, str | None, float, int]
"""By what calls are summed, the number of a bar, whose they are (None: others; "": not set), what refused them if
anything, microcents and calls. Only sums by tenant and model are divided into bars."""


class Step(NamedTuple):
    """What changed a budget: microcents that `remaining` was after a call, or the action of an operator."""

    at: datetime
    remaining: int | None
    action: str


def spend_chart(usage: Iterable[Usage], begins: Sequence[datetime]) -> dict[str, Any]:
    """Return spend over time, in bars that begin at these times.

    `parts` are microcents by (bar, series), `sums` by bar, `series` by name, the largest first, None for the others.
    `refused` are calls by bar, `reasons` by code, and those served by None; `served` are calls by series.
    """
    parts, sums, refused = Counter[tuple[int, str | None]](), Counter[int](), Counter[int]()
    series, served, reasons = Counter[str | None](), Counter[str | None](), Counter[str | None]()
    for _, bar, name, refusal, cost, calls in usage:
        parts[bar, name] += int(cost)
        sums[bar] += int(cost)
        series[name] += int(cost)
        served[name] += 0 if refusal else calls
        refused[bar] += calls if refusal else 0
        reasons[refusal] += calls
    ranked = dict(sorted((+series).items(), key=lambda each: (each[0] is None, -each[1])))
    shown = {"begins": begins, "parts": parts, "sums": sums, "series": ranked}
    return {**shown, "served": served, "refused": refused, "reasons": reasons}


@dataclass(frozen=True, slots=True, kw_only=True)
class Burndown:
    """What remains of a period's budget, in microcents.

    `points` are known amounts, oldest first, ending now; `burn` is in microcents per hour, 0 without a forecast.
    `changes` are what operators did in that time.
    """

    begin: datetime
    end: datetime
    allocated: int
    burn: int
    points: list[tuple[datetime, int]]
    changes: Sequence[Step] = ()

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
        return round((1 - max(0, amount) / self.top) * height, 1)

    @property
    def top(self) -> int:
        """Where the scale ends, in microcents."""
        return max(self.allocated, *(remaining for _, remaining in self.points), 1)
