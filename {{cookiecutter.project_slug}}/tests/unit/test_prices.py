from decimal import Decimal
from itertools import product

import pytest

from {{ cookiecutter.__package }}.budget import prices
from {{ cookiecutter.__package }}.llm.provider import Message, Request, Usage

TABLE = prices.Prices.load()
PARTS = (0.0, 0.3, 1.0)


def price(**rates: str) -> prices.Price:
    return prices.Price(prices.Rates.model_validate({name: Decimal(rate) for name, rate in rates.items()}))


def test_a_call_costs_its_tokens_at_the_price_of_each_kind() -> None:
    usage = Usage(1_000, 100, cached_input_tokens=400, cache_write_input_tokens=200)
    cheap = price(input="0.40", cached_input="0.10", cache_write="0.50", output="1.60")
    assert cheap.cost(usage) == 400 * 40 + 400 * 10 + 200 * 50 + 100 * 160


def test_a_cost_is_rounded_up_once_on_the_sum() -> None:
    tiny = price(input="0.0025", cached_input="0.0025", output="0.0025")  # a quarter of a microcent a token
    assert tiny.cost(Usage(1, 0)) == 1
    assert tiny.cost(Usage(2, 2)) == 1
    assert tiny.cost(Usage(3, 2)) == 2
    assert tiny.cost(Usage(0, 0)) == 0


def test_a_long_prompt_is_priced_by_its_own_rates_from_the_first_token() -> None:
    haiku = TABLE.of("claude-haiku-5-5")
    assert haiku.cost(Usage(100_000, 10)) == 100_000 * 10 + 10 * 50
    assert haiku.cost(Usage(100_001, 10)) == 100_001 * 50 + 10 * 250


@pytest.mark.parametrize(
    ("dated", "base"),
    [
        ("gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("gpt-4.1", "gpt-4.1"),
    ],
)
def test_a_dated_model_costs_what_its_base_costs(dated: str, base: str) -> None:
    assert TABLE.of(dated) == TABLE.of(base)


def test_the_file_is_read_anew_and_what_it_does_not_list_has_the_price_for_all_others() -> None:
    assert prices.Prices.load() == TABLE
    other = price(input="1", cached_input="1", output="1")
    assert TABLE.model_copy(update={"unlisted": other.rates}).of("gpt-4.1-minim") == other


@pytest.mark.parametrize("model", ["", "gpt-4.1-mini-turbo", "gpt-4.1-minim", "gpt-4-0613", "gpt-4.1-"])
def test_a_model_without_a_price_is_refused_by_name(model: str) -> None:
    with pytest.raises(prices.UnknownModel, match=repr(model)):
        TABLE.of(model)


@pytest.mark.parametrize("model", TABLE.models)
@pytest.mark.parametrize("letters", [0, 1, 1_000, 99_976, 99_977, 300_000])
def test_no_usage_within_the_bound_costs_more_than_the_bound(model: str, letters: int) -> None:
    bound = TABLE.of(model).upper_bound([Message("user", "x" * letters)], 1_000)
    for used, cached, written, answered in product(PARTS, repeat=4):
        tokens = int(bound.input_tokens * used)
        read = int(tokens * cached)
        usage = Usage(tokens, int(1_000 * answered), read, int((tokens - read) * written))
        assert TABLE.of(model).cost(usage) <= bound.microcents


@pytest.mark.parametrize(("written", "rate"), [({}, 40), ({"cache_write": "0.50"}, 50), ({"cache_write": "0.20"}, 40)])
def test_the_bound_takes_all_input_at_the_dearest_price_and_no_more(written: dict[str, str], rate: int) -> None:
    cheap = price(input="0.40", cached_input="0.10", output="1.60", **written)
    messages = (Message("user", "x" * 70), Message("user", "x" * 30))
    assert cheap.upper_bound(messages, 10) == (132, 132 * rate + 10 * 160)
    table = TABLE.model_copy(update={"models": {"cheap": cheap.rates}})
    assert table.hold_for(Request("cheap", messages, 10)) == 132 * rate + 10 * 160


def test_the_bound_counts_every_byte_and_what_normalising_makes_of_it() -> None:
    def tokens(text: str) -> int:
        return TABLE.of("demo-1").upper_bound([Message("user", text)], 1).input_tokens - 24

    assert tokens("x" * 10) == 10
    assert tokens("\N{SNOWMAN}") == 3
    assert tokens("\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}") == 33


@pytest.mark.parametrize("model", sorted(TABLE.long_prompts))
def test_a_long_prompt_is_never_the_cheaper_one(model: str) -> None:
    short, long = TABLE.models[model], TABLE.long_prompts[model]
    assert long.input >= short.input
    assert long.output >= short.output
    assert (long.cache_write or 0) >= (short.cache_write or 0)


def test_the_least_cost_is_the_hold_of_the_smallest_call_of_the_cheapest_model() -> None:
    least = TABLE.least_cost(["gpt-4.1", "gpt-4.1-mini"])
    assert least == TABLE.of("gpt-4.1-mini").upper_bound([Message("user", "x")], 1).microcents


@pytest.mark.parametrize(
    ("text", "microcents"),
    [("5", 500_000_000), ("5.00", 500_000_000), ("0.00000001", 1), ("0" * 30 + "7.5", 750_000_000)],
)
def test_dollars_are_read_to_the_microcent(text: str, microcents: int) -> None:
    assert prices.parse_usd(text) == microcents


@pytest.mark.parametrize("text", ["", "-1", "+1", "1e3", "NaN", "1,5", "$5", ".5", "5.", "0.000000001"])
def test_what_is_no_amount_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="is not") as refused:
        prices.parse_usd(text)
    assert str(refused.value) == f"{text!r} is not an amount in USD like 5.00 (no sign, at most 8 decimals)"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("92233720368.54775808", "92233720368.54775808"),
        ("9" * 19, "9" * 19),
        ("1" + "0" * 5_000, "1" + "0" * 19 + "..."),
    ],
)
def test_an_amount_that_no_ledger_can_hold_is_refused_in_words(text: str, shown: str) -> None:
    assert prices.parse_usd("92233720368.54775807") == 2**63 - 1
    with pytest.raises(ValueError, match="more than") as refused:
        prices.parse_usd(text)
    assert str(refused.value) == f"{shown!r} is more than a budget can hold (92233720368.54775807 USD)"


@pytest.mark.parametrize("microcents", [0, 1, 10**6, 10**8 - 1, 10**8, 550_000_000, 123_456_789_000, 2**63 - 1])
def test_a_formatted_amount_reads_back_as_itself(microcents: int) -> None:
    assert prices.parse_usd(prices.format_usd(microcents)) == microcents
    assert prices.format_usd(-microcents).removeprefix("-") == prices.format_usd(microcents)


def test_amounts_show_at_least_cents() -> None:
    assert [prices.format_usd(n) for n in (0, 500_000_000, -12_800)] == ["0.00", "5.00", "-0.000128"]
