"""How callers prove themselves in development and in tests: by API keys of the registry."""

from collections.abc import Callable, Mapping
from typing import Any


def environment() -> dict[str, str]:
    """The settings that a new installation needs for it: none."""
    return {}


def headers(
    tenant: str, api_key: str | None, _environment: Mapping[str, str | None], cli: Callable[..., dict[str, Any]]
) -> dict[str, str]:
    """What a caller of `tenant` sends. `api_key` is what `tenants add` told; `cli` makes another where it told none."""
    key = api_key or cli("keys", "add", tenant, "--name", "dev")["api_key"]
    return {"Authorization": f"Bearer {key}"}
