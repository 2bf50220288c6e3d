from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from {{ cookiecutter.__package }}.budget import prices
from {{ cookiecutter.__package }}.llm.provider import Message, Request, Tokens

TABLE = prices.Prices.load()
PARTS = (0.0, 0.3, 1.0)


def price(**rates: str) -> prices.Rates:
    return prices.Rates.model_validate({name: Decimal(rate) for name, rate in rates.items()})


def table_of(**rates: str) -> prices.Prices:
    """A table with the one model `cheap`."""
    return TABLE.model_copy(update={"models": {"cheap": price(**rates)}})


def test_a_call_costs_its_tokens_at_the_price_of_each_kind() -> None:
    usage = Tokens(1_000, 100, cached_input_tokens=400, cache_write_input_tokens=200)
    table = table_of(input="0.40", cached_input="0.10", cache_write="0.50", output="1.60")
    assert table.cost("cheap", usage) == 400 * 40 + 400 * 10 + 200 * 50 + 100 * 160


def test_what_a_request_wrote_to_the_cache_costs_by_how_long_it_is_kept() -> None:
    written = {"cache_write_input_tokens": 600, "cache_write_5m_input_tokens": 100, "cache_write_1h_input_tokens": 200}
    assert TABLE.cost("claude-haiku-4-5", Tokens(1_000, 0, **written)) == 700 * 100 + 100 * 125 + 200 * 200
    assert TABLE.cost("gpt-4.1", Tokens(1_000, 0, **written)) == 1_000 * 200


def test_a_service_tier_has_a_price_of_its_own_or_none() -> None:
    table = TABLE.model_copy(
        update={"models": {**TABLE.models, "gpt-4.1 priority": price(input="3", cached_input="1", output="9")}}
    )
    assert table.cost("gpt-4.1-2025-04-14", Tokens(1, 0), "priority") == 300
    assert table.cost("gpt-4.1", Tokens(1, 0), "default") == 200
    with pytest.raises(prices.UnknownModel, match=r"gpt-4\.1 flex"):
        table.cost("gpt-4.1", Tokens(1, 0), "flex")


def test_a_table_saved_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    copy = tmp_path / "prices.toml"
    copy.write_bytes(b"\xef\xbb\xbf" + prices.PRICES_FILE.read_bytes())
    assert prices.Prices.load(path=copy) == TABLE


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('as_of = 2026-01-01\n[models]\n"gpt-0" = 1 2\n', "line 3"),
        ('as_of = 2026-01-01\n[models]\n"gpt-0" = 5', "models.gpt-0: "),
        ("\udcff", "byte"),
    ],
)
def test_a_broken_table_is_one_line_with_the_place(tmp_path: Path, text: str, place: str) -> None:
    broken = tmp_path / "prices.toml"
    broken.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=place) as error:
        prices.Prices.load(path=broken)
    assert str(error.value).startswith(str(broken))
    assert "\n" not in str(error.value)


def test_a_cost_is_rounded_up_once_on_the_sum() -> None:
    tiny = table_of(input="0.0025", cached_input="0.0025", output="0.0025")  # a quarter of a microcent a token
    assert tiny.cost("cheap", Tokens(1, 0)) == 1
    assert tiny.cost("cheap", Tokens(2, 2)) == 1
    assert tiny.cost("cheap", Tokens(3, 2)) == 2
    assert tiny.cost("cheap", Tokens(0, 0)) == 0


def test_a_long_prompt_is_priced_by_its_own_rates_from_the_first_token() -> None:
    assert TABLE.cost("claude-haiku-5-5", Tokens(100_000, 10)) == 100_000 * 10 + 10 * 50
    assert TABLE.cost("claude-haiku-5-5", Tokens(100_001, 10)) == 100_001 * 50 + 10 * 250


@pytest.mark.parametrize(
    ("dated", "base"),
    [
        ("gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("claude-haiku-4-5@20251001", "claude-haiku-4-5"),
        ("openai/gpt-4.1-mini-2025-04-14", "gpt-4.1-mini"),
        ("gpt-4.1:latest", "gpt-4.1"),
        ("gpt-4.1", "gpt-4.1"),
    ],
)
def test_a_date_or_a_gateways_prefix_does_not_change_the_price(dated: str, base: str) -> None:
    for tokens in (1, 10**7):
        assert TABLE.rates_of(dated, tokens) == TABLE.rates_of(base, tokens)


def test_what_the_file_does_not_list_has_the_price_for_all_others(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    unlisted = "[unlisted]\ninput = 5.00\ncached_input = 5.00\noutput = 25.00\n"
    file.write_text(prices.PRICES_FILE.read_text("utf-8") + unlisted, encoding="utf-8")
    table = prices.Prices.load(file)
    assert table.missing(["gpt-0"]) == []
    assert table.cost("gpt-0", Tokens(2, 3, cached_input_tokens=1)) == 2 * 500 + 3 * 2500
    assert table.rates_of("gpt-4.1") == TABLE.rates_of("gpt-4.1")


@pytest.mark.parametrize("model", ["", "gpt-4.1-mini-turbo", "gpt-4.1-minim", "gpt-4-0613", "gpt-4.1-"])
def test_a_model_without_a_price_is_refused_by_name(model: str) -> None:
    with pytest.raises(prices.UnknownModel, match=repr(model)):
        TABLE.rates_of(model)


@pytest.mark.parametrize("model", TABLE.models)
@pytest.mark.parametrize("letters", [0, 1, 1_000, 99_976, 99_977, 300_000])
def test_no_usage_within_the_bound_costs_more_than_the_bound(model: str, letters: int) -> None:
    messages = (Message("user", "x" * letters),)
    bound, most = TABLE.hold_for(Request(model, messages, 1_000)), prices.most_tokens(messages)
    for used, cached, written, answered in product(PARTS, repeat=4):
        tokens = int(most * used)
        read = int(tokens * cached)
        usage = Tokens(tokens, int(1_000 * answered), read, int((tokens - read) * written))
        assert TABLE.cost(model, usage) <= bound


@pytest.mark.parametrize(("written", "rate"), [({}, 40), ({"cache_write": "0.50"}, 50), ({"cache_write": "0.20"}, 40)])
def test_the_bound_takes_all_input_at_the_dearest_price_and_no_more(written: dict[str, str], rate: int) -> None:
    table = table_of(input="0.40", cached_input="0.10", output="1.60", **written)
    messages = (Message("user", "x" * 70), Message("user", "x" * 30))
    assert table.hold_for(Request("cheap", messages, 10)) == 132 * rate + 10 * 160


def test_the_bound_counts_every_byte_and_what_normalising_makes_of_it() -> None:
    def tokens(text: str) -> int:
        return prices.most_tokens([Message("user", text)]) - 24

    assert tokens("x" * 10) == 10
    assert tokens("\N{SNOWMAN}") == 3
    assert tokens("\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}") == 33


@given(st.text(alphabet="ae\N{LATIN SMALL LETTER E WITH ACUTE}\u0301\u0323\u1100\u1161\u11a8\ufb01\u0344\u212b"))
def test_the_bound_holds_whatever_marks_do_to_letters(text: str) -> None:
    assert prices.most_tokens([Message("user", text)]) - 24 >= len(normalize("NFKC", text).encode())


def test_the_bound_normalises_each_character_once(monkeypatch: pytest.MonkeyPatch) -> None:
    normalised = list[str]()

    def count(form: Literal["NFKC", "NFKD"], text: str) -> str:
        normalised.append(text)
        return normalize(form, text)

    monkeypatch.setattr(prices, "normalize", count)
    assert prices.most_tokens([Message("user", "\u0301\u0323" * 50_000)]) == 24 + 200_000
    assert len("".join(normalised)) <= 4, "a run of marks takes quadratic time"


@pytest.mark.parametrize("model", sorted(TABLE.long_prompts))
def test_a_long_prompt_is_never_the_cheaper_one(model: str) -> None:
    short, long = TABLE.models[model], TABLE.long_prompts[model]
    assert long.input >= short.input
    assert long.output >= short.output
    assert (long.cache_write or 0) >= (short.cache_write or 0)


def test_the_least_cost_is_the_hold_of_the_smallest_call_of_the_cheapest_model() -> None:
    least = TABLE.least_cost(["gpt-4.1", "gpt-4.1-mini"])
    assert least == TABLE.hold_for(Request("gpt-4.1-mini", (Message("user", "x"),), 1))
