"""Reading of vendors' JSON, of which any member may be missing, null or of another type."""

import json
from typing import Any

from pydantic_core import from_json

from .provider import ProviderError


def as_dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def as_word(value: Any) -> str | None:
    """Return a text that can be stored, with ? for half an emoji. None if it is empty."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) and value else None


def as_text(value: Any) -> str:
    """Return a text, or the texts of its parts: `[{"type": "text", "text": "Hello"}, ...]`."""
    if isinstance(value, list):
        return "".join(as_text(as_dict(part).get("text")) for part in value)
    return value if isinstance(value, str) else ""


def first_int(values: dict[str, Any], *names: str) -> int | None:
    """Return the first member that is an integer."""
    return next((value for name in names if type(value := values.get(name)) is int), None)


def parsed(data: bytes) -> Any:
    """Return JSON, which may hold half an emoji. Raise ProviderError."""
    try:
        return from_json(data)
    except ValueError:  # slower, and takes half an emoji
        pass
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise unreadable() from None


def unreadable() -> ProviderError:
    return ProviderError("failed", "unreadable answer of the model provider")


def error_told() -> ProviderError:
    return ProviderError("failed", "the model provider answered with an error", answered=True)
