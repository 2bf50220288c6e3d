"""What Anthropic's API sends, for the stand-in."""

from typing import Any

KEY = "sk-ant-secret-key-1234567890"
MODEL = "claude-haiku-4-5"
DEARER = "claude-opus-4-8"
INPUT, OUTPUT = 100, 500  # microcents a token: budget/prices.toml
LIMIT = "max_tokens"
API = "/messages"
END = {"type": "message_stop"}
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": f"Incorrect key: {KEY}"}}


def settings(url: str) -> dict[str, str]:
    return {"LLM_PROVIDER": "anthropic", "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": url, "LLM_MODEL": MODEL}


def start(model: str = MODEL, **told: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": {"model": model, "content": [], "usage": told}}


START = (start(),)


def text(content: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": content}}


def thinking(content: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": content}}


def tool_call(index: int, call_id: str, name: str, *arguments: str) -> list[dict[str, Any]]:
    """The events of a call, whose arguments come in parts."""
    block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": part} for part in arguments]
    return [
        {"type": "content_block_start", "index": index, "content_block": block},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
    ]


def usage(read: int, written: int) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {}, "usage": {"input_tokens": read, "output_tokens": written}}


def finish(reason: str) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}}


def whole(content: Any, told: tuple[int, int] | None = None) -> dict[str, Any]:
    blocks = [{"type": "text", "text": content}]
    answer = {"type": "message", "model": MODEL, "content": blocks, "stop_reason": "end_turn"}
    return answer | ({} if told is None else {"usage": usage(*told)["usage"]})


def told(**usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {}, "usage": usage}


REPLY = text("x" * 36)  # 9 tokens by our count; the test's prompt has 4
PART: dict[str, Any] = {"input_tokens": 20, "output_tokens": 8}
CACHE: dict[str, Any] = {"cache_creation_input_tokens": 1_000, "cache_read_input_tokens": 5_000}
KEPT: dict[str, Any] = {"cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 400}}
# Reports that can't be true together, and what is right in microcents
REPORTS: dict[str, tuple[list[Any], int]] = {
    "zero": ([start(input_tokens=0, output_tokens=0), REPLY, usage(0, 0)], 4 * INPUT + 9 * OUTPUT),
    "zero after figures": ([start(**PART), REPLY, usage(0, 0)], 20 * INPUT + 9 * OUTPUT),
    "no output": ([start(input_tokens=20), REPLY, usage(20, 0)], 20 * INPUT + 9 * OUTPUT),
    "cache at the start": ([start(input_tokens=20, **CACHE), REPLY, usage(20, 8)], 156_000),
    "cache at the end": ([start(input_tokens=20), REPLY, told(output_tokens=8, **CACHE)], 156_000),
    "kept for minutes and for an hour": (
        [start(input_tokens=20, **CACHE, **KEPT), REPLY, told(output_tokens=8)],
        156_000 + 600 * 25 + 400 * 100,
    ),
    "more than asked for": ([text("word " * 2_000)], 4 * INPUT + 2_500 * OUTPUT),
    "thinking": ([thinking("x" * 40), REPLY], 4 * INPUT + 19 * OUTPUT),
}
# A priority tier has no price: the whole hold
TIER = start(service_tier="priority", **PART)
ODD: list[Any] = [
    {"type": "message_start"},
    {"type": "message_start", "message": {"usage": None}},
    {"type": "message_delta", "delta": None},
    {"type": "content_block_start", "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "delta": None},
    {"type": "content_block_delta"},
    {"type": "ping"},
    {"type": "of the future"},
    b"",
]
"""Events without anything to read."""
FAILURES: dict[str, list[Any]] = {"no reason and an early end": [finish("")]}
UNREADABLE: list[Any] = [
    {"content": None, "usage": PART},
    {"content": "Hi", "usage": PART},
    {"content": [7], "usage": PART},
    {"content": [{"type": "text", "text": None}], "usage": PART},
    {"type": "message", "usage": PART},
]
"""Whole answers."""
