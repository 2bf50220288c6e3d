"""How requests to Anthropic's messages are written, and what is read from answers."""

from typing import Any

import pytest

from {{ cookiecutter.__package }}.llm import anthropic
from {{ cookiecutter.__package }}.llm.provider import AnsweredBy, Delta, Finish, Item, Message, ProviderError, Request, ToolCall, Usage

SYSTEM, HELLO, EMPTY = Message("system", "Be brief"), Message("user", "Hello"), Message("user", "")
USER = {"role": "user", "content": "Hello"}
BODIES: list[tuple[tuple[Message, ...], dict[str, Any]]] = [
    ((SYSTEM, HELLO, EMPTY), {"system": "Be brief", "messages": [USER]}),
    ((HELLO,), {"messages": [USER]}),
    ((SYSTEM, SYSTEM), {"messages": [{"role": "user", "content": "Be brief\n\nBe brief"}]}),
]


@pytest.mark.parametrize(("messages", "body"), BODIES)
def test_a_request_asks_for_a_stream_and_puts_each_message_in_its_place(
    messages: tuple[Message, ...], body: dict[str, Any]
) -> None:
    rest = {"model": "claude-test", "max_tokens": 7, "stream": True}
    assert anthropic.body_of(Request("claude-test", messages, 7)) == {**rest, **body}


def items_of(event: Any) -> list[Item]:
    """Everything but empty texts."""
    return [item for item in anthropic.items_of(event) if not (isinstance(item, Delta) and not item.text)]


def test_a_whole_answer_is_read_in_order() -> None:
    told = {"input_tokens": 2, "output_tokens": 1, "cache_read_input_tokens": 4, "service_tier": "batch"}
    content = [
        {"type": "thinking", "thinking": "Hm"},
        {"type": "text", "text": "Hi"},
        {"type": "tool_use", "name": "f", "input": {"a": 1}},
    ]
    answer = {"model": "claude-test-1", "content": content, "stop_reason": "tool_use", "usage": told}
    assert items_of({"type": "message", **answer}) == [
        AnsweredBy("claude-test-1", "batch"),
        Delta("Hm", hidden=True),
        Delta("Hi"),
        Delta('f{"a": 1}', hidden=True),
        ToolCall(2, "", "f", '{"a": 1}'),
        Usage(2, 1, 4, cache_apart=True),
        Finish("tool_use"),
    ]


def test_the_events_of_a_tool_call_are_counted_but_not_shown() -> None:
    start = {"type": "content_block_start", "content_block": {"type": "tool_use", "name": "f", "input": {}}}
    delta = {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{}"}}
    calls = [ToolCall(0, "", "f", ""), ToolCall(0, "", "", "{}")]
    counted = [Delta("f", hidden=True), Delta("{}", hidden=True)]
    assert items_of(start) + items_of(delta) == [counted[0], calls[0], counted[1], calls[1]]


@pytest.mark.parametrize("event", [[], "text", None, {"type": "error"}, {"content": 7}])
def test_what_is_no_event_is_a_failure(event: Any) -> None:
    with pytest.raises(ProviderError):
        items_of(event)
