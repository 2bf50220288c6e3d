from dataclasses import replace
from datetime import UTC, datetime, timedelta

from {{ cookiecutter.__package }}.dashboard.charts import Burndown, Step, spend_chart
from {{ cookiecutter.__package }}.dashboard.pages import templates
from {{ cookiecutter.__package }}.dashboard.query import DAY, HOUR, TenantQuery

FIRST = datetime(2026, 11, 1, tzinfo=UTC)
MIDDLE = FIRST + timedelta(days=15)


def chart(remaining: int, burn: int, *changes: Step) -> Burndown:
    history = [(FIRST + timedelta(days=day), 2_500) for day in (2, 2.1, 5)]
    points = [*history, (MIDDLE, remaining)]
    end = FIRST + 30 * DAY
    return Burndown(begin=FIRST, end=end, allocated=3_000, burn=burn, points=points, changes=changes)


def test_chart_compares_what_remains_with_an_even_pace() -> None:
    shown = chart(2_000, burn=0)
    assert (shown.pace(MIDDLE), shown.projection(shown.end)) == (1_500, 2_000)
    assert [remaining for _, remaining in shown.days] == [2_500, 2_500, 2_000]
    assert [(shown.x(shown.begin), shown.y(3_000, 200)), (shown.x(shown.end), shown.y(0, 200))] == [(0, 0), (100, 200)]


def test_projection_follows_the_burn_rate() -> None:
    shown = chart(240, burn=10)
    assert [shown.projection(MIDDLE + timedelta(hours=hours)) for hours in (0, 12, 24)] == [240, 120, 0]
    assert shown.y(shown.projection(shown.end), 200) == 200


def test_credit_or_reset_in_mid_month_is_a_step_with_its_amount() -> None:
    actions = ((10, "fund 15.00"), (11, "link"), (12, "reset 5.00 2026-11"))
    credit, link, reset = (Step(FIRST + day * DAY, None, action) for day, action in actions)
    macros = templates.get_template("macros.html").module
    svg = str(macros.burndown(chart(3_000, 0, credit, link, reset), FIRST))  # type: ignore[attr-defined]
    x = chart(3_000, 0).x(credit.at)
    assert f"{x},{chart(3_000, 0).y(2_500, 240)} {x},{chart(3_000, 0).y(3_000, 240)}" in svg
    assert svg.count("Credit $15.00") == 2, "in the chart and in its table"
    assert svg.count("Reset $5.00") == 2
    assert svg.count('class="change"') == 3, "two lines, and their key"
    funded = replace(chart(1, 0, credit), allocated=30 * 10**8)
    svg = str(macros.burndown(funded, FIRST))  # type: ignore[attr-defined]
    assert 'class="pace" points="0.0,120.0 33.33,160.0 33.33,80.0 100.0,240.0"' in svg, "half before, all after"


def test_labels_of_changes_do_not_overlap() -> None:
    days = (1, 10, 10.1, 10.2, 10.3, 20)
    changes = [Step(FIRST + day * DAY, None, f"fund {place}.00") for place, day in enumerate(days)]
    macros = templates.get_template("macros.html").module
    svg = str(macros.burndown(chart(3_000, 0, *changes), FIRST))  # type: ignore[attr-defined]
    labelled = [place for place in range(6) if f">Credit ${place}.00</text>" in svg]
    assert labelled == [0, 3, 4, 5], "all have a line, and a row in the table"
    assert svg.count('class="change"') == 1 + len(days)


def test_spend_is_summed_by_bar_and_by_series_and_refused_calls_are_counted() -> None:
    usage = [
        ("model", 1, None, "provider_error", 50.0, 2),
        ("model", 0, "a", None, 30.0, 3),
        ("model", 1, "a", None, 10.0, 1),
        ("model", 1, "b", "x", 0.0, 4),
    ]
    shown = spend_chart(usage, [FIRST, FIRST + DAY])
    assert (shown["sums"], shown["parts"][1, "a"]) == ({0: 30, 1: 60}, 10)
    assert list(shown["series"].items()) == [("a", 40), (None, 50)], "None: the others, always last"
    assert +shown["served"] == {"a": 4}
    assert (shown["refused"][1], shown["reasons"]) == (6, {None: 4, "provider_error": 2, "x": 4})


def test_bars_begin_with_an_hour_or_a_day_and_the_last_one_is_the_current() -> None:
    now = MIDDLE + timedelta(hours=7, minutes=5)
    assert TenantQuery(span="24h").bars(now)[-2:] == [MIDDLE + 6 * HOUR, MIDDLE + 7 * HOUR]
    assert TenantQuery(span="7d").bars(now) == [MIDDLE - DAY * day for day in range(6, -1, -1)]
    assert [len(TenantQuery(span=span).bars(now)) for span in ("24h", "7d", "30d")] == [24, 7, 30]


def test_scale_of_spend_ends_at_a_round_amount() -> None:
    macros = templates.get_template("macros.html").module
    amounts = (0, 1, 3, 10, 11, 41, 812, 2_000)
    ends = [int(str(macros.round_up(amount))) for amount in amounts]  # type: ignore[attr-defined]
    assert ends == [1, 1, 4, 10, 20, 50, 1_000, 2_000]
