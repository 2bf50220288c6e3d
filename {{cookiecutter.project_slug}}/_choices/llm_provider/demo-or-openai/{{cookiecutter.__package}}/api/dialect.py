"""OpenAI's API: its routes, its models, its errors in a stream."""

import json
from typing import Any

from ..core.config import Settings
from ..core.problems import Problem
from ..llm.answers import as_dict
from ..llm.openai import embedding_items_of, items_of, response_items_of
from ..web.providers_api import error_of
from .endpoint import Endpoint

PREFIX = ""
"""What the vendor's paths begin with, after its base URL."""


def _usage_in_response(event: dict[str, Any]) -> dict[str, Any]:
    return as_dict(as_dict(event.get("response", event)).get("usage"))


HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
ENDPOINTS = (
    Endpoint(
        "/chat/completions",
        items_of,
        lambda chunk: as_dict(chunk.get("usage")),
        HELLO,
        limits=("max_completion_tokens", "max_tokens"),
        asks_for_usage=True,
    ),
    Endpoint("/responses", response_items_of, _usage_in_response, {"input": "Hello"}, limits=("max_output_tokens",)),
    Endpoint("/embeddings", embedding_items_of, lambda answer: as_dict(answer.get("usage")), {"input": "Hello"}),
)


def limits_of(endpoint: Endpoint, settings: Settings) -> tuple[str, ...]:
    """Return the members that limit the output, first the one that the vendor takes."""
    preferred = getattr(settings, "openai_limit_field", "")  # the demo provider has no such setting
    return tuple(sorted(endpoint.limits, key=lambda name: name != preferred))


def asks_usage(settings: Settings) -> bool:
    """Return whether the vendor takes `stream_options`."""
    return bool(getattr(settings, "openai_stream_options", True))


def end_user_of(body: dict[str, Any]) -> Any:
    return body.get("user")


def model_of(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "organization"}


def models_of(names: list[str]) -> dict[str, Any]:
    return {"object": "list", "data": [model_of(name) for name in names]}


def error_event(problem: Problem, request_id: str) -> bytes:
    """Return the event for a problem in a stream."""
    return b"data: " + json.dumps(error_of(problem, request_id)).encode() + b"\n\n"
