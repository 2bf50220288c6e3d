"""What a hold covers of a body for the provider's own API."""

from collections import Counter

import pytest

from {{ cookiecutter.__package }}.budget import prices
from {{ cookiecutter.__package }}.budget.prices import Prices, most_bytes, most_tokens
from {{ cookiecutter.__package }}.llm.provider import Body, Request, Tool

TABLE = Prices.load()
HAIKU = "claude-haiku-4-5"
INPUT, WRITTEN_FOR_AN_HOUR, OUTPUT = 100, 200, 500  # microcents a token
MAX_TOKENS = 10
AROUND = most_tokens(())
"""Tokens that a conversation without messages may have."""


def hold_of(model: str, body: Body, tools: tuple[Tool, ...] = ()) -> int:
    return TABLE.hold_for(Request(model, (), MAX_TOKENS, tools=tools, body=body))


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        pytest.param(Body(), 0, id="nothing"),
        pytest.param(Body(most_tokens=300), 300, id="bytes"),
        pytest.param(Body(most_tokens=300, images=2), 300 + 2 * 20_000, id="images"),
        pytest.param(Body(most_tokens=300, has_tools=True), 300 + 1_000, id="tools"),
    ],
)
def test_a_hold_covers_bytes_images_and_what_the_vendor_puts_before_tools(body: Body, tokens: int) -> None:
    assert hold_of(HAIKU, body) == (AROUND + tokens) * INPUT + MAX_TOKENS * OUTPUT


def test_an_image_has_the_models_own_bound_whatever_a_gateway_calls_the_model() -> None:
    for model in ("gpt-4o-mini", "openai/gpt-4o-mini:latest"):
        assert hold_of(model, Body(images=1)) - hold_of(model, Body()) == 50_000 * 15


def test_an_image_beside_an_accent_is_not_counted_letter_by_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = list[str]()

    def count(text: str) -> Counter[str]:
        counted.append(text)
        return Counter(text)

    monkeypatch.setattr(prices, "Counter", count)
    image = "iVBORw0KGgo/" * 10_000
    assert most_bytes(f"caf\N{LATIN SMALL LETTER E WITH ACUTE} {image}") == 6 + len(image)
    assert len("".join(counted)) == 1


def test_tools_of_a_request_are_covered_as_those_of_a_body_are() -> None:
    tools = (Tool("look_up", "", {}),)
    assert hold_of("gpt-4o-mini", Body(), tools) > hold_of("gpt-4o-mini", Body(has_tools=True))


def test_input_that_may_be_written_to_the_cache_is_held_at_the_dearest_writing_price() -> None:
    body = Body(most_tokens=300, caches=True)
    assert hold_of(HAIKU, body) == (AROUND + 300) * WRITTEN_FOR_AN_HOUR + MAX_TOKENS * OUTPUT


def test_each_choice_may_use_the_whole_output() -> None:
    assert hold_of(HAIKU, Body(choices=3)) == AROUND * INPUT + 3 * MAX_TOKENS * OUTPUT
