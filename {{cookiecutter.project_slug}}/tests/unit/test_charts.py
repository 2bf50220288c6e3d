from datetime import UTC, datetime, timedelta

from {{ cookiecutter.__package }}.dashboard.charts import Burndown, month_of, refusal_chart

FIRST = datetime(2026, 11, 1, tzinfo=UTC)
MIDDLE = FIRST + timedelta(days=15)


def chart(remaining: int, burn: int) -> Burndown:
    history = [(FIRST + timedelta(days=day), 2_500) for day in (2, 2.1, 5)]
    points = [*history, (MIDDLE, remaining)]
    return Burndown(begin=FIRST, end=month_of(FIRST)[1], allocated=3_000, burn=burn, points=points)


def test_month_ends_where_the_next_one_begins() -> None:
    assert month_of(datetime(2026, 12, 31, 23, 59, tzinfo=UTC)) == (
        datetime(2026, 12, 1, tzinfo=UTC),
        datetime(2027, 1, 1, tzinfo=UTC),
    )


def test_chart_compares_what_remains_with_an_even_pace() -> None:
    shown = chart(2_000, burn=0)
    assert (shown.pace(MIDDLE), shown.projection(shown.end)) == (1_500, 2_000)
    assert [remaining for _, remaining in shown.days] == [2_500, 2_500, 2_000]
    assert [(shown.x(shown.begin), shown.y(3_000, 200)), (shown.x(shown.end), shown.y(0, 200))] == [(0, 0), (100, 200)]


def test_projection_follows_the_burn_rate() -> None:
    shown = chart(240, burn=10)
    assert [shown.projection(MIDDLE + timedelta(hours=hours)) for hours in (0, 12, 24)] == [240, 120, 0]
    assert shown.y(shown.projection(shown.end), 200) == 200


def test_refusals_are_counted_by_hour_and_reason_the_most_frequent_first() -> None:
    hour = int(FIRST.timestamp()) // 3600
    shown = refusal_chart({(hour, "b"): 1, (hour + 1, "b"): 1, (hour + 1, "a"): 3}, FIRST)
    assert (shown["most"], list(shown["reasons"].items())) == (4, [("a", 3), ("b", 2)])
    assert shown["hours"][hour + 23] == FIRST + timedelta(hours=23)
    assert refusal_chart({}, FIRST)["most"] == 0
