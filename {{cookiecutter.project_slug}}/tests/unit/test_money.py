import pytest

from {{ cookiecutter.__package }}.core.money import format_usd, parse_usd


@pytest.mark.parametrize(
    ("text", "microcents"),
    [("5", 500_000_000), ("5.00", 500_000_000), ("0.00000001", 1), ("0" * 30 + "7.5", 750_000_000)],
)
def test_dollars_are_read_to_the_microcent(text: str, microcents: int) -> None:
    assert parse_usd(text) == microcents


@pytest.mark.parametrize("text", ["", "-1", "+1", "1e3", "NaN", "1,5", "$5", ".5", "5.", "0.000000001"])
def test_text_that_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not") as refused:
        parse_usd(text)
    assert str(refused.value) == f"{text!r} is not an amount in USD like 5.00 (no sign, at most 8 decimals)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("92233720368.54775808", "92233720368.54775808"),
        ("9" * 19, "9" * 19),
        ("1" + "0" * 5_000, "1" + "0" * 19),
    ],
)
def test_amount_larger_than_a_ledger_can_hold_is_refused(text: str, shown: str) -> None:
    assert parse_usd("92233720368.54775807") == 2**63 - 1
    with pytest.raises(ValueError, match="too large") as refused:
        parse_usd(text)
    assert str(refused.value) == f"{shown!r} is too large for a budget: at most 92233720368.54775807 USD"


@pytest.mark.parametrize("microcents", [0, 1, 10**6, 10**8 - 1, 10**8, 550_000_000, 123_456_789_000, 2**63 - 1])
def test_formatted_amount_reads_back_unchanged(microcents: int) -> None:
    assert parse_usd(format_usd(microcents)) == microcents
    assert format_usd(-microcents).removeprefix("-") == format_usd(microcents)


def test_amounts_show_at_least_cents() -> None:
    assert [format_usd(n) for n in (0, 500_000_000, -12_800)] == ["0.00", "5.00", "-0.000128"]
