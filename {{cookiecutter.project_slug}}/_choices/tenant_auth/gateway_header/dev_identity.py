"""How callers prove themselves in development and in tests: by headers as the gateway would send them."""

import secrets
from collections.abc import Mapping


def environment() -> dict[str, str]:
    """The settings that a new installation needs for it."""
    return {"GATEWAY_SECRET": secrets.token_urlsafe(32)}


def headers(tenant: str, _api_key: str | None, environment: Mapping[str, str | None], _cli: object) -> dict[str, str]:
    """What the gateway sends for a caller of `tenant`."""
    newest = (environment["GATEWAY_SECRET"] or "").partition(",")[0].strip()
    return {"X-Tenant-ID": tenant, "X-Gateway-Secret": newest}
