"""Totals of calls, as the store returns them."""

from typing import NamedTuple

SERVED = ("charged", "released", "unguarded")
"""Outcomes of calls that were not refused."""


class Refusals(NamedTuple):
    """Number of calls refused in one hour (`hour` counts from 1970) with the same problem code."""

    hour: int
    outcome: str
    calls: int


class Share(NamedTuple):
    """Spend of one model, route or end user (`name`); `cost` in microcents."""

    name: str | None
    cost: int
    calls: int
