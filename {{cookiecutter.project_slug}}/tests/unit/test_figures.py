import pytest

from {{ cookiecutter.__package }}.budget.balances import Ledger
from {{ cookiecutter.__package }}.dashboard.figures import LedgerRow
from {{ cookiecutter.__package }}.dashboard.pages import usd

USD = 10**8


def row(
    allocated: int = 100, spent: int = 0, reserved: int = 0, debt: int = 0, overdraft: int = 0, over: bool = False
) -> LedgerRow:
    ledger = Ledger(
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
    return LedgerRow(ledger, hold=2)


@pytest.mark.parametrize(
    ("shown", "state"),
    [
        (row(), "ok"),
        (row(spent=80), "ok"),
        (row(spent=81), "low"),
        (row(spent=50, reserved=45), "low"),
        (row(spent=96), "critical"),
        (row(spent=99), "short"),
        (row(spent=100), "used_up"),
        (row(allocated=0), "used_up"),
        (row(spent=100, debt=5, overdraft=10), "used_up"),
        (row(debt=5), "in_debt"),
        (row(debt=11, overdraft=10, over=True), "in_debt"),
        (row(spent=10, over=True), "over_limit"),
    ],
)
def test_ledger_state_says_what_blocks_calls_or_how_much_remains(shown: LedgerRow, state: str) -> None:
    assert shown.state == state


def test_bar_shows_its_parts_side_by_side() -> None:
    assert row(spent=25, reserved=10).bar == [("spent", 0.0, 25.0), ("reserved", 25.0, 10.0), ("remaining", 35.0, 65.0)]
    assert row(spent=100, debt=100).bar == [("spent", 0.0, 50.0), ("overdraft", 50.0, 50.0)]
    assert row(allocated=0).bar == []


@pytest.mark.parametrize("shown", [row(3, 1, 1, 1), row(7, 2**62, 2**61, 5), row(2**62, 1)])
def test_bar_fills_its_frame(shown: LedgerRow) -> None:
    assert sum(part.width for part in shown.bar) == pytest.approx(100, abs=0.02)
    assert all(part.start + part.width <= 100.01 for part in shown.bar)


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
