import re

import pytest

from {{ cookiecutter.__package }}.budget.balances import Ledger
from {{ cookiecutter.__package }}.dashboard.figures import ledger_state
from {{ cookiecutter.__package }}.dashboard.pages import templates, usd

USD = 10**8


def ledger(
    allocated: int = 100, spent: int = 0, reserved: int = 0, debt: int = 0, overdraft: int = 0, over: bool = False
) -> Ledger:
    return Ledger(
        scope="tenant:acme",
        allocated=allocated,
        spent=spent,
        reserved=reserved,
        remaining=allocated - spent - reserved - debt,
        debt=debt,
        overdraft_limit=overdraft,
        is_over_limit=over,
        asked_at=0.0,
    )


def bar(shown: Ledger) -> list[tuple[str, float, float]]:
    """The parts of a bar: kind, start and width in per cent."""
    svg = str(templates.get_template("macros.html").module.bar(shown))  # type: ignore[attr-defined]
    parts = re.findall(r'<rect class="(\w+)" x="([\d.]+)%" width="([\d.]+)%"', svg)
    return [(kind, float(start), float(width)) for kind, start, width in parts]


@pytest.mark.parametrize(
    ("shown", "state"),
    [
        (ledger(), "ok"),
        (ledger(spent=80), "ok"),
        (ledger(spent=81), "low"),
        (ledger(spent=50, reserved=45), "low"),
        (ledger(spent=99), "short"),
        (ledger(allocated=0), "short"),
        (ledger(spent=100, debt=5, overdraft=10), "short"),
        (ledger(debt=5), "over_limit"),
        (ledger(spent=10, over=True), "over_limit"),
    ],
)
def test_ledger_state_says_what_blocks_calls_or_how_much_remains(shown: Ledger, state: str) -> None:
    assert ledger_state(shown, hold=2) == state


def test_bar_shows_its_parts_side_by_side() -> None:
    assert bar(ledger(spent=25, reserved=10)) == [
        ("spent", 0.0, 25.0),
        ("reserved", 25.0, 10.0),
        ("remaining", 35.0, 65.0),
    ]
    assert bar(ledger(spent=100, debt=100)) == [("spent", 0.0, 50.0), ("overdraft", 50.0, 50.0)]
    assert bar(ledger(allocated=0)) == []


@pytest.mark.parametrize("shown", [ledger(3, 1, 1, 1), ledger(7, 2**62, 2**61, 5), ledger(2**62, 1)])
def test_bar_fills_its_frame(shown: Ledger) -> None:
    parts = bar(shown)
    assert sum(width for _, _, width in parts) == pytest.approx(100, abs=0.02)
    assert all(start + width <= 100.01 for _, start, width in parts)


@pytest.mark.parametrize(
    ("microcents", "text"),
    [
        (0, "$0.00"),
        (5 * USD, "$5.00"),
        (123_456_789 * USD, "$123,456,789.00"),
        (99_999_999, "$1.00"),
        (12_800, "$0.00013"),
        (1, "$0.00000001"),
        (-50_000_000, "-$0.50"),
    ],
)
def test_amounts_are_rounded_for_people(microcents: int, text: str) -> None:
    assert usd(microcents) == text


def test_costs_in_a_column_have_the_same_digits() -> None:
    assert [usd(microcents, 6) for microcents in (265_000, 100, 0)] == ["$0.002650", "$0.000001", "$0.00"]
