"""Periods of recurring budgets: months, weeks and days of a time zone."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

NAMES = {"month": "%Y-%m", "week": "%G-W%V", "day": "%Y-%m-%d"}
"""How each kind of period is called, as in `tenants reset --period`."""


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` until before `end`, both in UTC. The end is the start of the next period."""

    name: str
    start: datetime
    end: datetime


def period_at(every: str, timezone: str, at: datetime) -> Period:
    """Return the month, week (from Monday) or day in which `at` lies. It begins at midnight in the time zone.

    Where clocks skip that midnight, it begins when they do; where midnight comes twice, at the first one.
    """
    zone = ZoneInfo(timezone)
    first = _first_day(every, at.astimezone(zone).date() - timedelta(days=1))
    while _midnight(_next(every, first), zone) <= at:
        first = _next(every, first)
    return Period(first.strftime(NAMES[every]), _midnight(first, zone), _midnight(_next(every, first), zone))


def _first_day(every: str, day: date) -> date:
    if every == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if every == "week" else day


def _next(every: str, first: date) -> date:
    days = {"month": 31, "week": 7, "day": 1}[every]
    return _first_day(every, first + timedelta(days=days))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
