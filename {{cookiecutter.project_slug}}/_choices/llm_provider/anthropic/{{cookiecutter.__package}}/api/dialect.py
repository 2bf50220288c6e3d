"""Anthropic's API: its routes, its models, its errors in a stream."""

from typing import Any

from ..core.config import Settings
from ..llm.answers import as_dict
from ..llm.anthropic import items_of
from .endpoint import Endpoint


def _usage_in(event: dict[str, Any]) -> dict[str, Any]:
    return as_dict(event.get("usage"))


ENDPOINTS = (
    Endpoint("/messages", items_of, _usage_in),
    Endpoint("/messages/count_tokens", items_of, _usage_in, is_free=True),
)


def limit_field(settings: Settings) -> str:  # noqa: ARG001
    """Return the member by which the vendor takes a limit of the output."""
    return "max_tokens"


def asks_usage(settings: Settings) -> bool:  # noqa: ARG001
    """Return whether the vendor takes `stream_options`."""
    return False


def model_of(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}


def models_of(names: list[str]) -> dict[str, Any]:
    data = [model_of(name) for name in names]
    return {"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}
