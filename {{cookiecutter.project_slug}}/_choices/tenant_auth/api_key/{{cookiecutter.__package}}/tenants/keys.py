"""API keys of callers: `rck_`, an ID of eight characters, and 256 random bits."""

import secrets
import string
from datetime import UTC, datetime
from typing import Any

from ..core.ciphers import digest_of
from ..core.problems import Problem
from .checks import ANY, check_text, find_tenant
from .models import ApiKey
from .registry import Registry

PREFIX = "rck_"
"""Lets secret scanners recognise a key."""

_ID_ALPHABET = string.ascii_letters + string.digits


def mint_api_key(tenant: str, name: str) -> tuple[ApiKey, str]:
    """Return a new key: the record to store, and the plain key to show once."""
    key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(8))
    plain = f"{PREFIX}{key_id}_{secrets.token_urlsafe(32)}"
    # 256 random bits need no slower hash
    return ApiKey(id=key_id, tenant_id=tenant, name=name, digest=digest_of(plain.encode())), plain


async def add_key(registry: Registry, tenant_id: str, name: str = "more") -> dict[str, Any]:
    """Add an API key, shown once."""
    await find_tenant(registry, tenant_id)
    key, plain = mint_api_key(tenant_id, check_text("name", name, 100))
    await registry.add(key)
    return {"tenant": tenant_id, "key_id": key.id, "api_key": plain}


async def list_keys(registry: Registry, tenant_id: str) -> dict[str, Any]:
    """List a tenant's API keys, revoked ones included, with names and dates."""
    await find_tenant(registry, tenant_id, statuses=ANY)
    keys = [
        {
            "key_id": key.id,
            "name": key.name,
            "prefix": PREFIX + key.id,
            "created_at": key.created_at.isoformat(),
            "last_used_at": key.last_used_at.isoformat() if key.last_used_at else None,
            "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
        }
        for key in await registry.api_keys(tenant_id)
    ]
    return {"tenant": tenant_id, "keys": keys}


async def revoke_key(registry: Registry, tenant_id: str, key_id: str) -> dict[str, Any]:
    """Revoke an API key, within 5 s. Safe to run again."""
    await find_tenant(registry, tenant_id, statuses=ANY)
    key = next((key for key in await registry.api_keys(tenant_id) if key.id == key_id), None)
    if key is None:
        raise Problem("unknown_key", f"Tenant {tenant_id} has no key {key_id!r}. See `keys list {tenant_id}`.")
    if key.revoked_at is None:
        await registry.revoke_api_key(key, datetime.now(UTC))
    return {"tenant": tenant_id, "key_id": key_id, "revoked": True}
