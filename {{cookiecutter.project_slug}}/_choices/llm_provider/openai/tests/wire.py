"""What OpenAI's API sends, for the stand-in."""

from typing import Any

KEY = "sk-secret-key-1234567890"
MODEL = "gpt-5.4-mini"
DEARER = "gpt-5.2"
INPUT, OUTPUT = 75, 450  # microcents a token: budget/prices.toml
LIMIT = "max_completion_tokens"
API = "/chat/completions"
END = b"[DONE]"
ERROR = {"error": {"message": f"Incorrect key: {KEY}", "type": "server_error"}}


def settings(url: str) -> dict[str, str]:
    return {"LLM_PROVIDER": "openai", "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": f"{url}/v1", "LLM_MODEL": MODEL}


def start(model: str = MODEL) -> dict[str, Any]:
    return {"model": model, "choices": [{"delta": {"role": "assistant"}}]}


START = (start(),)


def text(content: str) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": content}}]}


def thinking(content: str) -> dict[str, Any]:
    return {"choices": [{"delta": {"reasoning": content}}]}


def tool_call(index: int, call_id: str, name: str, *arguments: str) -> list[dict[str, Any]]:
    """The events of a call, whose arguments come in parts."""
    parts: list[dict[str, Any]] = [{"id": call_id, "type": "function", "function": {"name": name}}]
    parts += [{"function": {"arguments": part}} for part in arguments]
    return [{"choices": [{"delta": {"tool_calls": [{"index": index, **part}]}}]} for part in parts]


def usage(read: int, written: int) -> dict[str, Any]:
    return {"choices": [], "usage": {"prompt_tokens": read, "completion_tokens": written}}


def finish(reason: str) -> dict[str, Any]:
    return {"choices": [{"delta": {}, "finish_reason": reason}]}


def whole(content: Any, told: tuple[int, int] | None = None) -> dict[str, Any]:
    answer = {"model": MODEL, "choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
    return answer | ({} if told is None else {"usage": usage(*told)["usage"]})


def told(**usage: Any) -> dict[str, Any]:
    return {"choices": [], "usage": usage}


def choice(**members: Any) -> dict[str, Any]:
    return {"model": MODEL, "choices": [members]}


REPLY = text("x" * 36)  # 9 tokens by our count; the test's prompt has 4
PART = {"prompt_tokens": 20, "completion_tokens": 8}
# Reports that can't be true together, and what is right in microcents
REPORTS: dict[str, tuple[list[Any], int]] = {
    "zero": ([REPLY, told(prompt_tokens=0, completion_tokens=0, total_tokens=0)], 4 * INPUT + 9 * OUTPUT),
    "zero after figures": ([REPLY, told(**PART), usage(0, 0)], 20 * INPUT + 9 * OUTPUT),
    "no output": ([REPLY, usage(20, 0)], 20 * INPUT + 9 * OUTPUT),
    "cached apart": (
        [REPLY, told(prompt_tokens=10, completion_tokens=8, prompt_tokens_details={"cached_tokens": 5_000})],
        41_850,
    ),
    "written apart": (
        [REPLY, told(prompt_tokens=10, completion_tokens=8, prompt_tokens_details={"cache_write_tokens": 5_000})],
        5_010 * INPUT + 8 * OUTPUT,
    ),
    "reasoning apart": (
        [REPLY, told(**PART, total_tokens=1_028, completion_tokens_details={"reasoning_tokens": 1_000})],
        455_100,
    ),
    "cached, as DeepSeek says it": (
        [REPLY, told(prompt_tokens=100, completion_tokens=8, prompt_cache_hit_tokens=60)],
        40 * INPUT + 450 + 8 * OUTPUT,
    ),
    "more than asked for": ([text("word " * 2_000)], 4 * INPUT + 2_500 * OUTPUT),
    "thinking": ([thinking("x" * 40), REPLY], 4 * INPUT + 19 * OUTPUT),
}
# A priority tier has no price: the whole hold
TIER = {**start(), "service_tier": "priority"}
ODD: list[Any] = [
    {"choices": [{}]},
    {"choices": [{"delta": None}]},
    {"choices": None},
    {"choices": []},
    {"choices": [None]},
    {"usage": None, "choices": [{"delta": {"content": None}, "finish_reason": None}]},
    choice(delta={"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": ""}]}),
    b"",
]
"""Events without anything to read."""
FAILURES: dict[str, list[Any]] = {
    "an error instead of a reason": [choice(delta={}, finish_reason="error"), END],
    "an error in the choice": [choice(delta={}, error={"code": 502, "message": KEY}), END],
    "no reason and an early end": [choice(delta={}, finish_reason="")],
}
UNREADABLE: list[Any] = [
    {"choices": [{"message": None}], "usage": PART},
    {"choices": [{"message": {"content": [7]}}], "usage": PART},
    {"choices": [{"message": {"content": [{"type": "text", "text": None}]}}], "usage": PART},
    {"choices": [{}], "usage": PART},
    {"usage": PART},
]
"""Whole answers."""
