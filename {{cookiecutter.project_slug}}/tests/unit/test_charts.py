from datetime import UTC, datetime, timedelta

from {{ cookiecutter.__package }}.budget.balances import Ledger
from {{ cookiecutter.__package }}.calls.record import Refusals
from {{ cookiecutter.__package }}.dashboard.charts import Burndown, burndown, month_of, refusal_bars
from {{ cookiecutter.__package }}.dashboard.records import HourlyBalance

FIRST = datetime(2026, 11, 1, tzinfo=UTC)
MIDDLE = FIRST + timedelta(days=15)
LONG_AGO = FIRST - timedelta(days=100)


def chart(remaining: int, burn: int, begun_at: datetime = LONG_AGO) -> Burndown:
    ledger = Ledger(
        scope="tenant:acme", allocated=3_000, spent=3_000 - remaining, reserved=0, remaining=remaining, asked_at=0.0
    )
    hours = [
        HourlyBalance(tenant="acme", hour=int(day.timestamp()) // 3600, allocated=3_000, remaining=2_500)
        for day in (FIRST + timedelta(days=2), FIRST + timedelta(days=5))
    ]
    return burndown(ledger, hours, burn, begun_at=begun_at, now=MIDDLE)


def test_a_months_last_moment_is_the_next_ones_first() -> None:
    assert month_of(datetime(2026, 12, 31, 23, 59, tzinfo=UTC)) == (
        datetime(2026, 12, 1, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
    )


def test_what_is_left_is_held_against_an_even_pace() -> None:
    shown = chart(2_000, burn=0)
    assert (shown.pace_now, shown.left_at_end, shown.runs_out) == (1_500, 2_000, None)
    assert shown.pace == "0.00,0.0 100.00,200.0"
    assert [day.remaining for day in shown.days] == [2_500, 2_500, 2_000]


def test_the_projection_ends_when_nothing_is_left() -> None:
    shown = chart(240, burn=10)
    assert shown.runs_out == MIDDLE + timedelta(hours=24)
    assert shown.projected.endswith(",200.0")
    assert [line.is_passed for line in shown.lines] == [True, False, False]


def test_a_tenant_that_came_in_the_month_begins_there() -> None:
    assert chart(2_000, 0, begun_at=FIRST + timedelta(days=10)).begin == FIRST + timedelta(days=10)
    assert chart(2_000, 0, begun_at=MIDDLE).actual


def test_refusals_are_stacked_by_hour_the_most_frequent_reason_below() -> None:
    hour = int(FIRST.timestamp()) // 3600
    shown = refusal_bars([Refusals(hour, "b", 1), Refusals(hour + 1, "b", 1), Refusals(hour + 1, "a", 3)], FIRST, 24)
    assert (shown.most, shown.reasons) == (4, {"a": 3, "b": 2})
    assert [part.reason for part in shown.bars[1].parts] == ["a", "b"]
    assert [(part.y, part.height) for part in shown.bars[1].parts] == [(50.0, 150.0), (0.0, 50.0)]
    assert refusal_bars([], FIRST, 24).most == 0
