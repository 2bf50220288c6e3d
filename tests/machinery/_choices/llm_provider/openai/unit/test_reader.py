"""How requests to OpenAI's chat completions are written, and what is read from answers."""

from typing import Any

import pytest

from {{ cookiecutter.__package }}.llm import openai
from {{ cookiecutter.__package }}.llm.provider import AnsweredBy, Delta, Finish, Item, Message, ProviderError, Request, ToolCall, Usage

REQUEST = Request("gpt-test", (Message("system", "Be brief"), Message("user", "Hello")), max_tokens=7)


def items_of(chunk: Any) -> list[Item]:
    """Everything but empty texts."""
    return [item for item in openai.items_of(chunk) if not (isinstance(item, Delta) and not item.text)]


def test_a_request_asks_for_a_stream_with_usage_and_bounds_the_tokens() -> None:
    assert openai.body_of(REQUEST, "max_completion_tokens", asks_usage=True) == {
        "model": "gpt-test",
        "messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hello"}],
        "max_completion_tokens": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_request_can_be_written_for_older_servers() -> None:
    body = openai.body_of(REQUEST, "max_tokens", asks_usage=False)
    assert body["max_tokens"] == 7
    assert not body.keys() & {"max_completion_tokens", "stream_options"}


USAGES: list[tuple[dict[str, Any], Usage]] = [
    ({"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}, Usage(9, 2, total_tokens=11)),
    (
        {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}},
        Usage(9, None, 4, 3),
    ),
    ({"prompt_tokens": 9, "prompt_tokens_details": None, "prompt_cache_hit_tokens": 4}, Usage(9, None, 4)),
    ({"prompt_tokens": 9, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3}, Usage(9, None, 4, 3)),
    (
        {"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 4}},
        Usage(None, 9, reasoning_tokens=4),
    ),
    ({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 2}, Usage(9, 2, 4)),
    ({"prompt_tokens": "9", "completion_tokens": -1, "total_tokens": True}, Usage(output_tokens=-1)),
]


@pytest.mark.parametrize(("told", "usage"), USAGES)
def test_usage_is_read_by_the_names_that_vendors_use(told: dict[str, Any], usage: Usage) -> None:
    assert openai.usage_of(told) == usage
    for chunk in ({"usage": told}, {"x_groq": {"usage": told}}, {"choices": [{"usage": told}]}):
        assert items_of(chunk) == [usage]


def test_what_a_chunk_holds_is_read_in_order() -> None:
    chunk = {
        "model": "gpt-test-1",
        "service_tier": "flex",
        "choices": [
            {
                "delta": {
                    "content": [{"type": "thinking", "thinking": [{"text": "Hm"}]}, {"type": "text", "text": "Hi"}],
                    "refusal": ".",
                    "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}, None],
                },
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1},
    }
    calls = [ToolCall(0, "", "f", "{}"), ToolCall(1, "", "", "")]
    texts = [Delta("Hmf{}", hidden=True), *calls, Delta("Hi.")]
    assert items_of(chunk) == [AnsweredBy("gpt-test-1", "flex"), *texts, Usage(1), Finish("stop")]


@pytest.mark.parametrize(
    "called",
    [
        {"function_call": {"name": "f", "arguments": "{}"}},
        {"tool_calls": [{"type": "custom", "custom": {"name": "f", "input": "{}"}}]},
    ],
)
def test_calls_of_functions_and_custom_tools_are_output_too(called: dict[str, Any]) -> None:
    for chunk in ({"choices": [{"delta": called}]}, {"choices": [{"message": called}]}):
        assert Delta("f{}", hidden=True) in items_of(chunk)


@pytest.mark.parametrize("chunk", [[], "text", None, 7, {"error": "overloaded"}])
def test_what_is_no_chunk_is_a_failure(chunk: Any) -> None:
    with pytest.raises(ProviderError):
        items_of(chunk)
