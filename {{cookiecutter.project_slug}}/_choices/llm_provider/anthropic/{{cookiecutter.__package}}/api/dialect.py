"""Anthropic's API: its routes, its models, its errors in a stream."""

import json
from collections.abc import Iterator
from typing import Any

from ..core.config import Settings
from ..core.problems import Problem
from ..llm.answers import as_dict
from ..llm.anthropic import items_of
from ..llm.provider import Item
from ..web.providers_api import error_of
from .endpoint import Endpoint

PREFIX = "/v1"
"""What the vendor's paths begin with, after its base URL."""


def _usage_in(event: dict[str, Any]) -> dict[str, Any]:
    return as_dict(event.get("usage"))


def _no_items(_: Any) -> Iterator[Item]:
    return iter(())


HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
ENDPOINTS = (
    Endpoint("/messages", items_of, _usage_in, {**HELLO, "max_tokens": 64}, limits=("max_tokens",)),
    Endpoint("/messages/count_tokens", _no_items, _usage_in, HELLO, is_free=True),
)


def limits_of(endpoint: Endpoint, settings: Settings) -> tuple[str, ...]:  # noqa: ARG001
    """Return the members that limit the output, first the one that the vendor takes."""
    return endpoint.limits


def asks_usage(settings: Settings) -> bool:  # noqa: ARG001
    """Return whether the vendor takes `stream_options`."""
    return False


def end_user_of(body: dict[str, Any]) -> Any:
    return as_dict(body.get("metadata")).get("user_id")


def model_of(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}


def models_of(names: list[str]) -> dict[str, Any]:
    data = [model_of(name) for name in names]
    return {"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}


def error_event(problem: Problem, request_id: str) -> bytes:
    """Return the event for a problem in a stream."""
    return b"event: error\ndata: " + json.dumps(error_of(problem, request_id)).encode() + b"\n\n"
