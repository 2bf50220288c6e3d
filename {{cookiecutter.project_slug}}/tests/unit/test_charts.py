from datetime import UTC, datetime, timedelta

from {{ cookiecutter.__package }}.budget.balances import Ledger
from {{ cookiecutter.__package }}.calls.totals import Refusals
from {{ cookiecutter.__package }}.dashboard.charts import Burndown, burndown, month_of, refusal_chart

FIRST = datetime(2026, 11, 1, tzinfo=UTC)
MIDDLE = FIRST + timedelta(days=15)
LONG_AGO = FIRST - timedelta(days=100)


def chart(remaining: int, burn: int, created_at: datetime = LONG_AGO) -> Burndown:
    ledger = Ledger(
        scope="tenant:acme", allocated=3_000, spent=3_000 - remaining, reserved=0, remaining=remaining, asked_at=0.0
    )
    history = [(day, 2_500) for day in (FIRST + timedelta(days=2), FIRST + timedelta(days=5))]
    return burndown(ledger, history, burn, created_at=created_at, now=MIDDLE)


def test_month_ends_where_the_next_one_begins() -> None:
    assert month_of(datetime(2026, 12, 31, 23, 59, tzinfo=UTC)) == (
        datetime(2026, 12, 1, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
    )


def test_chart_compares_what_remains_with_an_even_pace() -> None:
    shown = chart(2_000, burn=0)
    assert (shown.pace(shown.now), shown.remaining_at_end, shown.runs_out) == (1_500, 2_000, None)
    assert [remaining for _, remaining in shown.days] == [2_500, 2_500, 2_000]
    assert [(shown.x(shown.begin), shown.y(3_000, 200)), (shown.x(shown.end), shown.y(0, 200))] == [(0, 0), (100, 200)]


def test_projection_ends_when_nothing_remains() -> None:
    shown = chart(240, burn=10)
    assert shown.runs_out == MIDDLE + timedelta(hours=24)
    assert shown.y(shown.remaining_at_end, 200) == 200
    assert [line.is_crossed for line in shown.thresholds] == [True, False, False]


def test_chart_of_a_new_tenant_begins_with_it() -> None:
    assert chart(2_000, 0, created_at=FIRST + timedelta(days=10)).begin == FIRST + timedelta(days=10)
    assert chart(2_000, 0, created_at=MIDDLE).points == [(MIDDLE, 2_000)]


def test_refusals_are_counted_by_hour_and_reason_the_most_frequent_first() -> None:
    hour = int(FIRST.timestamp()) // 3600
    shown = refusal_chart([Refusals(hour, "b", 1), Refusals(hour + 1, "b", 1), Refusals(hour + 1, "a", 3)], FIRST, 24)
    assert (shown.most, list(shown.reasons.items())) == (4, [("a", 3), ("b", 2)])
    assert shown.calls == {(0, "b"): 1, (1, "b"): 1, (1, "a"): 3}
    assert refusal_chart([], FIRST, 24).most == 0
