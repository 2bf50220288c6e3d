"""What the tenants need at Cycles in development and in tests: nothing beforehand, each gets a key of its own."""

import secrets
from collections.abc import Mapping


def environment() -> dict[str, str]:
    """The settings that a new installation needs for it."""
    return {"TENANT_KEYS_SECRET": secrets.token_urlsafe(32)}


def account(_environment: Mapping[str, str | None]) -> dict[str, str]:
    """The settings that only a running Cycles can tell: none."""
    return {}
