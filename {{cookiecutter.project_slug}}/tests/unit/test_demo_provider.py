import asyncio

import pytest

from {{ cookiecutter.__package }}.llm import demo, metering, provider

PROMPTS = ("", "Hello", "a {curly} one", "\N{SNOWMAN} in two words", "x" * 100_000, "half \ud83d an emoji")


def request(prompt: str, max_tokens: int = 1_024) -> provider.Request:
    return provider.Request("any-model", (provider.Message("user", prompt),), max_tokens)


async def collect(asked: provider.Request) -> list[provider.Delta | provider.Usage]:
    items = demo.DemoProvider(delay=0).stream(asked)
    return [item async for item in items if not isinstance(item, provider.AnsweredBy)]


def complete(asked: provider.Request) -> provider.Completion:
    return asyncio.run(demo.DemoProvider().complete(asked))


def test_the_same_prompt_gets_the_same_reply_and_another_prompt_another() -> None:
    assert complete(request("Hello")) == complete(request("Hello"))
    assert complete(request("Hello")).text != complete(request("Good morning to you")).text


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_reply_has_40_to_60_words_and_more_than_40_tokens(prompt: str) -> None:
    answer = complete(request(prompt))
    assert 40 <= len(answer.text.split()) <= 60
    assert answer.usage is not None
    assert answer.usage.output_tokens > 40
    assert answer.model == "any-model"


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("max_tokens", [1, 2, 40])
def test_max_tokens_cuts_a_reply_exactly(prompt: str, max_tokens: int) -> None:
    answer = complete(request(prompt, max_tokens))
    assert answer.usage is not None
    assert answer.usage.output_tokens == metering.count_tokens(answer.text) == max_tokens


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("max_tokens", [1, 40, 200])
def test_a_stream_says_and_uses_what_the_plain_answer_does(prompt: str, max_tokens: int) -> None:
    *deltas, usage = asyncio.run(collect(request(prompt, max_tokens)))
    answer = complete(request(prompt, max_tokens))
    assert "".join(delta.text for delta in deltas if isinstance(delta, provider.Delta)) == answer.text
    assert usage == answer.usage


def test_a_stream_that_is_cut_has_used_what_was_delivered() -> None:
    asked = request("Hello there")
    tally = metering.Meter(asked)
    for item in asyncio.run(collect(asked))[:10]:
        tally.add(item)
    assert tally.usage.input_tokens == metering.count_tokens("Hello there")
    assert 0 < tally.usage.output_tokens < 30


def test_a_tally_takes_the_providers_figures_and_counts_only_what_came_after() -> None:
    tally = metering.Meter(request("Hello", max_tokens=100))
    told = provider.Usage(20, 5, cached_input_tokens=3)
    for item in (provider.Delta("x" * 40), told, provider.Delta("x" * 4), provider.Delta("x")):
        tally.add(item)
    assert tally.usage == provider.Usage(20, 7, cached_input_tokens=3)
    tally.add(told)  # as the ProviderError that ends a broken stream does
    assert tally.usage.output_tokens == 7
    tally.add(provider.Usage(20, 6))
    assert tally.usage == provider.Usage(20, 6)


def test_a_tally_counts_no_more_than_max_tokens_but_believes_the_provider() -> None:
    tally = metering.Meter(request("Hello", max_tokens=10))
    tally.add(provider.Delta("x" * 1_000))
    assert tally.usage.output_tokens == 10
    tally.add(provider.Usage(1, 12))
    assert tally.usage.output_tokens == 12


def test_an_answer_in_one_piece_counts_what_its_vendor_told() -> None:
    meter = metering.Meter(request("12345678", max_tokens=50))
    meter.add_completion(provider.Completion("Hi", "demo-1-fast", None))
    assert (meter.usage, meter.answered_by) == (provider.Usage(2, 1), "demo-1-fast")
    meter.add_completion(provider.Completion("Hi", "demo-1", provider.Usage(9, 1)))
    assert meter.usage == provider.Usage(9, 1)


def test_nothing_counts_as_no_token_and_half_an_emoji_as_one() -> None:
    assert [metering.count_tokens(text) for text in ("", "x", "four!", "\ud83d")] == [0, 1, 2, 1]
