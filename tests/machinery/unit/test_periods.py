from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from {{ cookiecutter.__package }}.tenants.periods import NAMES, period_at

TIMES = st.datetimes(datetime(1990, 1, 1), datetime(2038, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
ZONES = st.sampled_from(sorted(available_timezones()))
KINDS = st.sampled_from(sorted(NAMES))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@settings(max_examples=2_000, deadline=None)
@given(KINDS, ZONES, TIMES)
@example("day", "Pacific/Apia", at("2011-12-30T10:00Z"))  # a day that was skipped
@example("day", "America/St_Johns", at("2010-11-07T02:31Z"))  # 00:01 became 23:01
@example("month", "America/Toronto", at("2026-11-01T05:30Z"))
def test_periods_follow_each_other_without_a_gap(every: str, zone: str, now: datetime) -> None:
    period = period_at(every, zone, now)
    assert period.start <= now < period.end
    assert period_at(every, zone, period.start) == period
    assert period_at(every, zone, period.end - timedelta(microseconds=1)) == period
    following = period_at(every, zone, period.end)
    assert following.start == period.end
    assert following.name > period.name


@settings(max_examples=500, deadline=None)
@given(KINDS, ZONES, TIMES)
def test_a_period_begins_at_midnight_or_when_clocks_skip_it(every: str, zone: str, now: datetime) -> None:
    start = period_at(every, zone, now).start.astimezone(ZoneInfo(zone))
    before = (start.astimezone(UTC) - timedelta(microseconds=1)).astimezone(ZoneInfo(zone))
    assert before.date() < start.date()
    assert (start.hour, start.minute) == (0, 0) or before.utcoffset() != start.utcoffset()
    if every == "month":
        assert start.day == 1
    if every == "week":
        assert start.weekday() in (0, 1), "Monday, or the day after one that was skipped"


@pytest.mark.parametrize(
    ("every", "zone", "now", "name", "start", "end"),
    [
        ("month", "UTC", "2028-02-29T23:59Z", "2028-02", "2028-02-01T00:00Z", "2028-03-01T00:00Z"),
        ("day", "UTC", "2028-02-29T12:00Z", "2028-02-29", "2028-02-29T00:00Z", "2028-03-01T00:00Z"),
        ("month", "Europe/Berlin", "2026-11-30T23:00Z", "2026-12", "2026-11-30T23:00Z", "2026-12-31T23:00Z"),
        ("month", "Pacific/Kiritimati", "2026-11-30T10:00Z", "2026-12", "2026-11-30T10:00Z", "2026-12-31T10:00Z"),
        ("day", "Europe/Berlin", "2026-03-29T12:00Z", "2026-03-29", "2026-03-28T23:00Z", "2026-03-29T22:00Z"),
        ("week", "UTC", "2027-01-03T12:00Z", "2026-W53", "2026-12-28T00:00Z", "2027-01-04T00:00Z"),
        ("day", "America/Santiago", "2026-09-06T05:00Z", "2026-09-06", "2026-09-06T04:00Z", "2026-09-07T03:00Z"),
    ],
)
def test_known_periods(every: str, zone: str, now: str, name: str, start: str, end: str) -> None:
    period = period_at(every, zone, at(now))
    assert (period.name, period.start, period.end) == (name, at(start), at(end))
