"""Sign-in links for a tenant's people: created by an operator, usable once."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta

from .checks import find_tenant
from .registry import Registry

LINK_LIFE = timedelta(minutes=15)


async def make_link(registry: Registry, tenant_id: str) -> tuple[str, datetime]:
    """Create a link for an open tenant and return its path and expiry. Raises Problem.

    The path contains the secret, of which only the SHA-256 is stored.
    """
    await find_tenant(registry, tenant_id)
    token, now = secrets.token_urlsafe(32), datetime.now(UTC)
    await registry.add_link(_digest(token), tenant_id, now + LINK_LIFE, now)
    return f"/dashboard/link/{token}", now + LINK_LIFE


async def spend_link(registry: Registry, token: str) -> str | None:
    """Use up a link and return its tenant's ID, None if it is unknown, used or expired."""
    return await registry.spend_link(_digest(token), datetime.now(UTC))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
