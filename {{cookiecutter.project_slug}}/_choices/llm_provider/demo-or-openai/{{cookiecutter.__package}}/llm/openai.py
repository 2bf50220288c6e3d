"""OpenAI's chat completions: how requests are written and answers read."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from .answers import as_dict, as_list, as_text, as_word, error_told, first_int, unreadable
from .provider import AnsweredBy, Delta, Finish, Item, Message, Request, ToolCall, Usage

PATH = "/chat/completions"


def body_of(request: Request, limit_field: str, *, asks_usage: bool) -> dict[str, Any]:
    """Return the body of a request for a stream, whose output `limit_field` limits."""
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        limit_field: request.max_tokens,
        "stream": True,
    }
    if request.tools:
        body["tools"] = [{"type": "function", "function": asdict(tool)} for tool in request.tools]
    return {**body, "stream_options": {"include_usage": True}} if asks_usage else body


def items_of(chunk: Any) -> Iterator[Item]:
    """Read a chunk of a stream, or a whole answer. Raise ProviderError for an error or an unreadable answer."""
    if not isinstance(chunk, dict):
        raise unreadable()
    if chunk.get("error"):
        raise error_told()
    model, tier = as_word(chunk.get("model")), as_word(chunk.get("service_tier"))
    if model or tier:
        yield AnsweredBy(model, tier)
    if text := _only_text(chunk):
        yield Delta(text)
        return
    choices = [choice for choice in as_list(chunk.get("choices")) if isinstance(choice, dict)]
    for choice in choices:
        yield from _texts(as_dict(choice.get("message") or choice.get("delta")))
    usages = (as_dict(told.get("usage")) for told in (chunk, as_dict(chunk.get("x_groq")), *choices))
    if usage := next(filter(None, usages), None):
        yield usage_of(usage)
    yield from filter(None, map(_finish, choices))


def response_items_of(event: Any) -> Iterator[Item]:
    """Read an event of a streamed response, or a whole response. Raise ProviderError, see `items_of`."""
    if not isinstance(event, dict):
        raise unreadable()
    kind = as_text(event.get("type"))
    if kind == "error" or as_dict(event.get("error")):
        raise error_told()
    if kind.endswith(".delta"):
        yield Delta(as_text(event.get("delta")), hidden=kind != "response.output_text.delta")
    response = as_dict(event.get("response")) if kind else event
    if not response:
        return
    yield AnsweredBy(as_word(response.get("model")), as_word(response.get("service_tier")))
    if not kind:
        yield Delta(json.dumps(response.get("output", ""), ensure_ascii=False))
    if usage := as_dict(response.get("usage")):
        yield usage_of(usage)
    if response.get("status") in ("completed", "incomplete", "failed"):
        yield Finish(as_word(response.get("status")))
        yield Finish()


def embedding_items_of(answer: Any) -> Iterator[Item]:
    """Read embeddings. Raise ProviderError, see `items_of`."""
    if as_dict(answer).get("error"):
        raise error_told()
    if not isinstance(as_dict(answer).get("data"), list):
        raise unreadable()
    yield AnsweredBy(as_word(answer.get("model")))
    yield usage_of(as_dict(answer.get("usage")))


def _message(message: Message) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.role == "tool":
        body["tool_call_id"] = message.call_id
    if message.tool_calls:
        body["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    return body


def usage_of(usage: dict[str, Any]) -> Usage:
    """Read a usage object of this API, of responses or of embeddings."""
    read = as_dict(usage.get("prompt_tokens_details") or usage.get("input_tokens_details"))
    written = as_dict(usage.get("completion_tokens_details") or usage.get("output_tokens_details"))
    cached = first_int(read, "cached_tokens")
    if cached is None:  # DeepSeek, Moonshot, gateways to Anthropic
        cached = first_int(usage, "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
    return Usage(
        input_tokens=first_int(usage, "prompt_tokens", "input_tokens"),
        output_tokens=first_int(usage, "completion_tokens", "output_tokens"),
        cached_input_tokens=cached,
        cache_write_input_tokens=first_int({**usage, **read}, "cache_write_tokens", "cache_creation_input_tokens"),
        reasoning_tokens=first_int(written, "reasoning_tokens"),
        total_tokens=first_int(usage, "total_tokens"),
    )


def _only_text(chunk: dict[str, Any]) -> str | None:
    """Return the text of a chunk that tells nothing else, as most do."""
    try:
        [choice] = chunk["choices"]
        [(name, text)] = choice["delta"].items()
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    is_more = chunk.get("usage") or chunk.get("x_groq") or choice.get("usage") or choice.get("finish_reason")
    is_text = name == "content" and isinstance(text, str) and "message" not in choice and not choice.get("error")
    return text if is_text and not is_more else None


def _texts(message: dict[str, Any]) -> list[Item]:
    content = message.get("content")
    thinking = as_text(message.get("reasoning_content") or message.get("reasoning"))  # compatible servers' names
    thinking += "".join(as_text(as_dict(part).get("thinking")) for part in as_list(content))  # Mistral's
    called = [_tool_call(place, as_dict(call)) for place, call in enumerate(as_list(message.get("tool_calls")))]
    older = _tool_call(0, {"function": message.get("function_call")})
    hidden = thinking + "".join(call.name + call.arguments for call in (*called, older))
    return [Delta(hidden, hidden=True), *called, Delta(as_text(content) + as_text(message.get("refusal")))]


def _tool_call(place: int, call: dict[str, Any]) -> ToolCall:
    tool, index = as_dict(call.get("function") or call.get("custom")), first_int(call, "index")
    arguments = as_text(tool.get("arguments") or tool.get("input"))
    return ToolCall(place if index is None else index, as_text(call.get("id")), as_text(tool.get("name")), arguments)


def _finish(choice: dict[str, Any]) -> Finish | None:
    reason, is_whole = as_word(choice.get("finish_reason")), "message" in choice
    if choice.get("error") or reason == "error":
        raise error_told()
    if is_whole and not _is_readable(choice["message"]):
        raise unreadable()
    return Finish(reason) if reason or is_whole else None


def _is_readable(message: Any) -> bool:
    if not isinstance(message, dict):
        return False
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content or ""}]
    return all(isinstance(part, dict) and isinstance(part.get("text", ""), str) for part in parts)
