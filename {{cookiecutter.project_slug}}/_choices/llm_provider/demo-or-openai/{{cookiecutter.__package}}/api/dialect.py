"""OpenAI's API: its routes, its models, its errors in a stream."""

from typing import Any

from ..core.config import Settings
from ..llm.answers import as_dict
from ..llm.openai import embedding_items_of, items_of, response_items_of
from .endpoint import Endpoint


def _usage_in(event: dict[str, Any]) -> dict[str, Any]:
    return as_dict(as_dict(event.get("response", event)).get("usage"))


ENDPOINTS = (
    Endpoint("/chat/completions", items_of, _usage_in, asks_for_usage=True),
    Endpoint("/responses", response_items_of, _usage_in),
    Endpoint("/embeddings", embedding_items_of, _usage_in),
)


def limit_field(settings: Settings) -> str:
    """Return the member by which the vendor takes a limit of the output."""
    return getattr(settings, "openai_limit_field", "")  # the demo provider has no such setting


def asks_usage(settings: Settings) -> bool:
    """Return whether the vendor takes `stream_options`."""
    return bool(getattr(settings, "openai_stream_options", True))


def model_of(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "organization"}


def models_of(names: list[str]) -> dict[str, Any]:
    return {"object": "list", "data": [model_of(name) for name in names]}
