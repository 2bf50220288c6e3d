"""The paid routes under test: how each takes a prompt, and how its answers are read."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MODEL, DEARER, CHEAPER = "gpt-5.4-mini", "gpt-4.1", "gpt-4o-mini"
CLAUDE = "claude-haiku-4-5"
PRICES = {MODEL: (75, 450), DEARER: (200, 800), CHEAPER: (15, 60), CLAUDE: (100, 500)}
"""Microcents a token of input and of output, by the providers' own lists: USD per million tokens times 100."""
CHAINED = {
    "LLM_ALLOWED_MODELS": f"{DEARER},{MODEL},{CHEAPER}",
    "LLM_FALLBACKS": f"{DEARER} > {MODEL} > {CHEAPER}",
}
"""Settings with fallbacks."""
LIMIT = "5.00"
"""USD of an agent's run."""
MICROCENTS_PER_USD = 10**8


@dataclass(frozen=True)
class Route:
    """A route.

    `body` takes a prompt, an end user and a model. `counted` returns the input tokens that the app counts for a prompt
    and its body. `cost_of` reads the microcents of a plain answer. `read` gives the events of a stream's line, as
    `events` in callers.py describes them, and collects in its last argument what `done` tells.
    """

    path: str
    body: Callable[[str, str, str], dict[str, Any]]
    streamed: dict[str, Any]
    """What asks for a stream."""
    max_tokens: str
    counted: Callable[[str, dict[str, Any]], int]
    cost_of: Callable[[dict[str, Any]], int]
    read: Callable[[str, bytes, dict[str, Any]], Iterator[tuple[str, Any]]]
    model: str = MODEL
    """That serves unless the caller asks for another."""


def tokens(size: int) -> int:
    return -(-size // 4)


def _read_chat(name: str, data: bytes, _: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield name, json.loads(data)


def _read_completions(_: str, data: bytes, end: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if data == b"[DONE]":
        yield "done", end
        return
    chunk = json.loads(data)
    if "error" in chunk:
        yield "error", chunk["error"]
    if usage := chunk.get("usage"):
        end["cost"] = {"amount": _microcents(usage)}
    if any(choice["delta"].get("content") for choice in chunk.get("choices", ())):
        yield "delta", chunk


def _read_messages(name: str, data: bytes, end: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    event = json.loads(data)
    if name == "error":
        yield "error", event["error"]
    if name == "message_delta" and "usage" in event:
        end["cost"] = {"amount": _microcents(event["usage"])}
    if name in ("content_block_delta", "message_stop"):
        yield {"content_block_delta": "delta", "message_stop": "done"}[name], end


def _microcents(usage: dict[str, Any]) -> int:
    return round(float(usage["cost"]) * MICROCENTS_PER_USD)


ROUTES = {
    "chat": Route(
        path="/api/chat",
        body=lambda prompt, user, model: {"prompt": prompt, "end_user": user, "model": model},
        streamed={"stream": True},
        max_tokens="max_tokens",
        counted=lambda prompt, _: tokens(len(prompt)),
        cost_of=lambda answer: int(answer["cost"]["amount"]),
        read=_read_chat,
    ),
    "completions": Route(
        path="/v1/chat/completions",
        body=lambda prompt, user, model: {
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "user": user,
        },
        streamed={"stream": True, "stream_options": {"include_usage": True}},
        max_tokens="max_completion_tokens",
        counted=lambda _, body: len(json.dumps(body)) // 4,
        cost_of=lambda answer: _microcents(answer["usage"]),
        read=_read_completions,
    ),
    "messages": Route(
        path="/v1/messages",
        body=lambda prompt, user, _: {
            "model": CLAUDE,
            "max_tokens": 500,
            "messages": [{"role": "user", "content": prompt}],
            "metadata": {"user_id": user},
        },
        streamed={"stream": True},
        max_tokens="max_tokens",
        counted=lambda _, body: len(json.dumps(body)) // 4,
        cost_of=lambda answer: _microcents(answer["usage"]),
        read=_read_messages,
        model=CLAUDE,
    ),
}
"""Those that a test is parametrized by. Projects of Anthropic have the last one, projects of OpenAI the others."""
AGENT = Route(
    path="/api/agent",
    body=lambda prompt, user, _: {"task": prompt, "end_user": user, "limit": LIMIT},
    streamed={},
    max_tokens="",
    counted=lambda prompt, _: tokens(len(prompt)),
    cost_of=lambda answer: int(answer["cost"]["amount"]),
    read=_read_chat,
)
ALL = ROUTES | {"agent": AGENT}
BY_PATH = {route.path: route for route in ALL.values()}
