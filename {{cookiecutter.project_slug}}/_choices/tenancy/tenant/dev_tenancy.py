"""Accounts at Cycles for development and tests: nothing to prepare, each tenant gets a key of its own."""

import secrets
from collections.abc import Mapping


def environment() -> dict[str, str]:
    """Return the settings that a new installation needs."""
    return {"TENANT_KEYS_SECRET": secrets.token_urlsafe(32)}


def account(_environment: Mapping[str, str | None]) -> dict[str, str]:
    """Return the settings that need a running Cycles: none."""
    return {}
