"""Anthropic's messages: how requests are written and answers read."""

import json
from collections.abc import Iterator
from typing import Any

from .answers import as_dict, as_list, as_text, as_word, error_told, first_int, unreadable
from .provider import AnsweredBy, Delta, Finish, Item, Message, Request, ToolCall, Usage

DEFAULT_URL = "https://api.anthropic.com"
PATH = "/messages"
HEADERS = {"anthropic-version": "2023-06-01"}


def body_of(request: Request) -> dict[str, Any]:
    """Return the body of a request for a stream. Without any other message, those of the system are the user's."""
    messages = [each for each in request.messages if each.content or each.role == "tool" or each.tool_calls]
    system = [message.content for message in messages if message.role == "system"]
    said = [message for message in messages if message.role != "system"]
    body: dict[str, Any] = {"model": request.model, "max_tokens": request.max_tokens, "stream": True}
    if not said:
        return {**body, "messages": [{"role": "user", "content": "\n\n".join(system)}]}
    if system:
        body["system"] = "\n\n".join(system)
    if request.tools:
        body["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in request.tools
        ]
    return {**body, "messages": [_message(message) for message in said]}


def _message(message: Message) -> dict[str, Any]:
    """Return a message. Anthropic joins results that follow each other."""
    if message.role == "tool":
        result = {"type": "tool_result", "tool_use_id": message.call_id, "content": message.content}
        return {"role": "user", "content": [result]}
    if not message.tool_calls:
        return {"role": message.role, "content": message.content}
    calls = [
        {"type": "tool_use", "id": each.id, "name": each.name, "input": _input(each)} for each in message.tool_calls
    ]
    text = [{"type": "text", "text": message.content}] if message.content else []  # empty ones are refused
    return {"role": message.role, "content": [*text, *calls]}


def _input(call: ToolCall) -> dict[str, Any]:
    """Return the arguments, empty if they are no JSON object."""
    try:
        return as_dict(json.loads(call.arguments))
    except (ValueError, RecursionError):
        return {}


def items_of(event: Any) -> Iterator[Item]:
    """Read an event of a stream, or a whole answer. Raise ProviderError for an error or an unreadable answer."""
    if not isinstance(event, dict):
        raise unreadable()
    match event.get("type", "message"):
        case "message":
            yield from _answer(event)
        case "message_start":
            yield _named(as_dict(event.get("message")))
            yield from _reported(as_dict(event.get("message")))
        case "content_block_start":
            yield from _texts(as_dict(event.get("content_block")), event)
        case "content_block_delta":
            yield from _texts(as_dict(event.get("delta")), event)
        case "message_delta":
            yield from _reported(event)
            if reason := as_word(as_dict(event.get("delta")).get("stop_reason")):
                yield Finish(reason)
        case "message_stop":
            yield Finish()
        case "error":
            raise error_told()


def usage_of(usage: dict[str, Any]) -> Usage:
    """Read a usage object. Anthropic does not count cached tokens as input tokens."""
    by_age = as_dict(usage.get("cache_creation"))
    return Usage(
        input_tokens=first_int(usage, "input_tokens"),
        output_tokens=first_int(usage, "output_tokens"),
        cached_input_tokens=first_int(usage, "cache_read_input_tokens"),
        cache_write_input_tokens=first_int(usage, "cache_creation_input_tokens"),
        cache_write_5m_input_tokens=first_int(by_age, "ephemeral_5m_input_tokens"),
        cache_write_1h_input_tokens=first_int(by_age, "ephemeral_1h_input_tokens"),
        cache_apart=True,
    )


def _answer(message: dict[str, Any]) -> Iterator[Item]:
    yield _named(message)
    content = message.get("content")
    for index, block in enumerate(as_list(content)):
        yield from _texts(as_dict(block), {"index": index})
    yield from _reported(message)
    blocks = content if isinstance(content, list) else [None]
    if not all(isinstance(block, dict) and isinstance(block.get("text", ""), str) for block in blocks):
        raise unreadable()
    yield Finish(as_word(message.get("stop_reason")))


def _named(message: dict[str, Any]) -> AnsweredBy:
    tier = as_dict(message.get("usage")).get("service_tier")
    return AnsweredBy(as_word(message.get("model")), as_word(tier))


def _reported(event: dict[str, Any]) -> Iterator[Usage]:
    if usage := as_dict(event.get("usage")):
        yield usage_of(usage)


def _texts(block: dict[str, Any], place: dict[str, Any]) -> Iterator[Item]:
    """Read a block of content, or an increment of one. `place` has its index."""
    id_, name, arguments = "", "", as_text(block.get("partial_json"))
    if block.get("type") == "tool_use":
        id_, name = as_text(block.get("id")), as_text(block.get("name"))
        arguments = json.dumps(block["input"]) if block.get("input") else ""
    yield Delta(as_text(block.get("thinking")) + name + arguments, hidden=True)
    if name or arguments:
        yield ToolCall(first_int(place, "index") or 0, id_, name, arguments)
    yield Delta(as_text(block.get("text")))
