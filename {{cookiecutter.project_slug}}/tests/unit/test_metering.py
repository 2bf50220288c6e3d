"""What a call has used, from figures that can't be true together."""

import pytest

from {{ cookiecutter.__package }}.llm.metering import Meter, count_tokens
from {{ cookiecutter.__package }}.llm.provider import AnsweredBy, Delta, Finish, Item, Message, Request, Tokens, Usage

REQUEST = Request("demo-1", (Message("user", "x" * 16),), max_tokens=10)
READ = 4  # by our count
TEXT, THINKING = Delta("x" * 36), Delta("x" * 40, hidden=True)  # 9 and 10 tokens


def used(*items: Item) -> Tokens:
    meter = Meter(REQUEST)
    for item in items:
        meter.add(item)
    return meter.usage


CASES: dict[str, tuple[list[Item], Tokens]] = {
    "nothing reported": ([TEXT], Tokens(READ, 9)),
    "text in parts": ([TEXT, TEXT], Tokens(READ, 18)),
    "more than was asked for": ([Delta("x" * 4_000)], Tokens(READ, 1_000)),
    "thinking": ([THINKING, TEXT], Tokens(READ, 19)),
    "text after the report": ([TEXT, Usage(20, 8), Delta("x" * 5)], Tokens(20, 10)),
    "a report of text so far": ([TEXT, Usage(20, 8), TEXT, Usage(20, 16)], Tokens(20, 16)),
    "zero with text": ([TEXT, Usage(0, 0, total_tokens=0)], Tokens(READ, 9)),
    "no output with text": ([TEXT, Usage(20, 0)], Tokens(20, 9)),
    "no input": ([TEXT, Usage(0, 8)], Tokens(READ, 8)),
    "zero after a report": ([TEXT, Usage(20, 8), Usage(0, 0)], Tokens(20, 9)),
    "a report after zero": ([TEXT, Usage(0, 0), TEXT, Usage(20, 8)], Tokens(20, 8)),
    "zero without text": ([Usage(20, 0)], Tokens(20, 0)),
    "cached apart": ([TEXT, Usage(10, 8, cached_input_tokens=5_000)], Tokens(5_010, 8, 5_000)),
    "cached apart, by the sum": ([TEXT, Usage(60, 8, 50, total_tokens=118)], Tokens(110, 8, 50)),
    "written apart": ([TEXT, Usage(10, 8, cache_write_input_tokens=5_000)], Tokens(5_010, 8, 0, 5_000)),
    "cached and written apart, by the sum": ([TEXT, Usage(60, 8, 30, 20, total_tokens=118)], Tokens(110, 8, 30, 20)),
    "nothing but cache": ([TEXT, Usage(0, 8, 5, 5)], Tokens(10, 8, 5, 5)),
    "cached within": ([TEXT, Usage(60, 8, 50, total_tokens=68)], Tokens(60, 8, 50)),
    "all cached": ([TEXT, Usage(50, 8, 50)], Tokens(50, 8, 50)),
    "all reasoning": ([TEXT, Usage(20, 8, reasoning_tokens=8)], Tokens(20, 8)),
    "reasoning apart": ([TEXT, Usage(20, 8, reasoning_tokens=1_000, total_tokens=1_028)], Tokens(20, 1_008)),
    "reasoning apart, no sum": ([TEXT, Usage(20, 8, reasoning_tokens=1_000)], Tokens(20, 1_008)),
    "reasoning within": ([TEXT, Usage(20, 1_008, reasoning_tokens=1_000, total_tokens=1_028)], Tokens(20, 1_008)),
    "more in the sum": ([TEXT, Usage(20, 8, total_tokens=1_028)], Tokens(20, 1_008)),
    "field by field": (
        [Usage(20, 1, 5_000, 1_000, cache_apart=True), TEXT, Usage(20, 8)],
        Tokens(6_020, 8, 5_000, 1_000),
    ),
    "kept an hour": ([Usage(1, 1, 0, 2, 3, 4)], Tokens(8, 1, 0, 7, 3, 4)),
    "negative": ([TEXT, Usage(20, -8)], Tokens(20, 9)),
    "beyond Cycles' numbers": ([TEXT, Usage(20, 2**31)], Tokens(20, 9)),
}


@pytest.mark.parametrize("case", CASES)
def test_usage_is_decided_from_everything_that_is_known(case: str) -> None:
    items, tokens = CASES[case]
    assert used(*items) == tokens


def test_a_call_is_used_once_its_request_goes_out_or_an_answer_comes() -> None:
    untouched, asked, answered = Meter(REQUEST), Meter(REQUEST), Meter(REQUEST)
    asked.ask()
    for item in (AnsweredBy("demo-1-fast"), Delta("Hi"), Finish("length"), Finish()):
        answered.add(item)
    assert [meter.is_used for meter in (untouched, asked, answered)] == [False, True, True]
    assert (asked.usage, answered.usage) == (Tokens(READ, 0), Tokens(READ, 1))
    assert (answered.answered_by, answered.finish_reason) == ("demo-1-fast", "length")


def test_nothing_counts_as_no_token_and_half_an_emoji_as_one() -> None:
    assert [count_tokens(text) for text in ("", "x", "four!", "\ud83d")] == [0, 1, 2, 1]
