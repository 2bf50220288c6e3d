"""Callers in development and tests: API keys of the registry."""

from collections.abc import Callable, Mapping
from typing import Any


def environment() -> dict[str, str]:
    """Return the settings that a new installation needs: none."""
    return {}


def headers(
    tenant: str, api_key: str | None, _environment: Mapping[str, str | None], cli: Callable[..., dict[str, Any]]
) -> dict[str, str]:
    """Return what a caller of `tenant` sends. `api_key` is the output of `tenants add`; if null, `cli` adds a key."""
    key = api_key or cli("keys", "add", tenant, "--name", "dev")["api_key"]
    return {"Authorization": f"Bearer {key}"}
