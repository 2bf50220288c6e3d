"""Callers in development and tests: headers as the gateway sends them."""

import secrets
from collections.abc import Mapping


def environment() -> dict[str, str]:
    """Return the settings that a new installation needs."""
    return {"GATEWAY_SECRET": secrets.token_urlsafe(32)}


def headers(tenant: str, _api_key: str | None, environment: Mapping[str, str | None], _cli: object) -> dict[str, str]:
    """Return what the gateway sends for a caller of `tenant`."""
    newest = (environment["GATEWAY_SECRET"] or "").partition(",")[0].strip()
    return {"X-Tenant-ID": tenant, "X-Gateway-Secret": newest}
