"""The callers' API keys: `rck_`, eight characters to know them by, and 256 random bits."""

import hashlib
import re
import secrets
import string
from datetime import UTC, datetime
from typing import Any

from ..core.errors import TenantsError
from .records import ApiKey
from .registry import Registry

SCAN_PREFIX = "rck_"
"""What secret scanners look for."""

_ID_ALPHABET = string.ascii_letters + string.digits
_FORM = re.compile(r"rck_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{43}", re.ASCII)


def mint_api_key(tenant: str, name: str) -> tuple[ApiKey, str]:
    """A new key: what is stored of it, and itself, to be shown once."""
    key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(8))
    prefix = SCAN_PREFIX + key_id
    plain = f"{prefix}_{secrets.token_urlsafe(32)}"
    now = datetime.now(UTC)
    return ApiKey(id=key_id, tenant=tenant, name=name, prefix=prefix, digest=digest_of(plain), created_at=now), plain


def digest_of(plain: str) -> str:
    """SHA-256 in hex: all that is kept. A plain hash will do: nobody guesses 256 random bits from it."""
    return hashlib.sha256(plain.encode()).hexdigest()


def looks_like_a_key(text: str) -> bool:
    return _FORM.fullmatch(text) is not None


async def add_key(registry: Registry, tenant: str, name: str) -> tuple[ApiKey, str]:
    """Give a tenant one more key, as `mint_api_key` tells it. Raises TenantsError."""
    row = await registry.tenant(tenant)
    if row is None or row.status == "closed":
        raise TenantsError("unknown_tenant", f"There is no open tenant {tenant!r}: see `tenants list`")
    if not row.onboarded:
        detail = f"Onboarding of {tenant} was interrupted: run the same `tenants add` again"
        raise TenantsError("not_onboarded", detail)
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise TenantsError("invalid_name", "A key's name is 1 to 100 printable characters")
    key, plain = mint_api_key(tenant, name)
    await registry.add_api_key(key)
    return key, plain


async def keys_of(registry: Registry, tenant: str) -> list[ApiKey]:
    """All keys of a tenant, revoked ones too. Raises TenantsError for an unknown tenant."""
    if await registry.tenant(tenant) is None:
        raise TenantsError("unknown_tenant", f"There is no tenant {tenant!r}: see `tenants list`")
    return await registry.api_keys(tenant)


async def revoke_key(registry: Registry, tenant: str, key_id: str) -> None:
    """Refuse a key from now on (in 2 s, see lookups.LOOKUP_LIFE_S). Again is fine. Raises TenantsError."""
    key = next((key for key in await keys_of(registry, tenant) if key.id == key_id), None)
    if key is None:
        raise TenantsError("unknown_key", f"Tenant {tenant} has no key {key_id!r}: see `keys list {tenant}`")
    if key.revoked_at is None:
        await registry.revoke_api_key(key_id, datetime.now(UTC))


async def show_keys(registry: Registry, tenant: str) -> dict[str, Any]:
    """What `keys list` shows: all that can be known of them."""
    rows = [
        {
            "key_id": key.id,
            "name": key.name,
            "prefix": key.prefix,
            "created_at": key.created_at.isoformat(),
            "last_used_at": key.last_used_at.isoformat() if key.last_used_at else None,
            "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
        }
        for key in await keys_of(registry, tenant)
    ]
    return {"tenant": tenant, "keys": rows}


async def show_new_key(registry: Registry, tenant: str, name: str) -> dict[str, Any]:
    """What `keys add` shows: the only time that the key itself is seen."""
    key, plain = await add_key(registry, tenant, name)
    return {"tenant": tenant, "key_id": key.id, "api_key": plain}


async def show_revoked_key(registry: Registry, tenant: str, key_id: str) -> dict[str, Any]:
    """What `keys revoke` shows."""
    await revoke_key(registry, tenant, key_id)
    return {"tenant": tenant, "key_id": key_id, "revoked": True}
