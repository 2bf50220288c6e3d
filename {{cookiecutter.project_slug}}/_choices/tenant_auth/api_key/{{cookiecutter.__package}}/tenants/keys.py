"""The callers' API keys: `rck_`, eight characters to know them by, and 256 random bits."""

import hashlib
import re
import secrets
import string
from datetime import UTC, datetime
from typing import Any, NamedTuple

from .errors import TenantsError
from .records import ApiKey
from .registry import Registry

SCAN_PREFIX = "rck_"
"""What secret scanners look for."""

_ID_ALPHABET = string.ascii_letters + string.digits
_FORM = re.compile(r"rck_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{43}", re.ASCII)


class MintedKey(NamedTuple):
    """A new key. `plain` is shown once and never stored."""

    id: str
    plain: str
    digest: str
    prefix: str


def mint_api_key() -> MintedKey:
    key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(8))
    prefix = SCAN_PREFIX + key_id
    plain = f"{prefix}_{secrets.token_urlsafe(32)}"
    return MintedKey(key_id, plain, digest_of(plain), prefix)


def digest_of(plain: str) -> str:
    """SHA-256 in hex: all that is kept. A plain hash will do: nobody guesses 256 random bits from it."""
    return hashlib.sha256(plain.encode()).hexdigest()


def looks_like_a_key(text: str) -> bool:
    return _FORM.fullmatch(text) is not None


async def first_credential(registry: Registry, tenant: str) -> str | None:
    """The key to show at the end of onboarding; one of an interrupted run, which nobody saw, is revoked."""
    for unseen in await registry.api_keys(tenant):
        if unseen.revoked_at is None:
            await registry.revoke_api_key(unseen.id, datetime.now(UTC))
    return (await _store(registry, tenant, "first")).plain


async def add_key(registry: Registry, tenant: str, name: str) -> MintedKey:
    """Give a tenant one more key. Raises TenantsError."""
    row = await registry.tenant(tenant)
    if row is None or row.status == "closed":
        raise TenantsError("unknown_tenant", f"There is no open tenant {tenant!r}: see `tenants list`")
    if not row.onboarded:
        detail = f"Onboarding of {tenant} was interrupted: run the same `tenants add` again"
        raise TenantsError("not_onboarded", detail)
    if not 1 <= len(name) <= 100 or not name.isprintable():
        raise TenantsError("invalid_name", "A key's name is 1 to 100 printable characters")
    return await _store(registry, tenant, name)


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
    minted = await add_key(registry, tenant, name)
    return {"tenant": tenant, "key_id": minted.id, "api_key": minted.plain}


async def show_revoked_key(registry: Registry, tenant: str, key_id: str) -> dict[str, Any]:
    """What `keys revoke` shows."""
    await revoke_key(registry, tenant, key_id)
    return {"tenant": tenant, "key_id": key_id, "revoked": True}


async def _store(registry: Registry, tenant: str, name: str) -> MintedKey:
    minted = mint_api_key()
    await registry.add_api_key(
        ApiKey(
            id=minted.id,
            tenant=tenant,
            name=name,
            prefix=minted.prefix,
            digest=minted.digest,
            created_at=datetime.now(UTC),
        )
    )
    return minted
