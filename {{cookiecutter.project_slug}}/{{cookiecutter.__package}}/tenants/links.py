"""Sign-in links for a tenant's people: created by an operator, usable once."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from .checks import find_tenant
from .registry import Registry
from .service import Answer, TenantService

LINK_LIFE = timedelta(minutes=15)


class Link(NamedTuple):
    """`path` contains the secret, of which only the SHA-256 is stored."""

    path: str
    expires_at: datetime


async def make_link(registry: Registry, tenant_id: str) -> Link:
    """Create a link for an open tenant. Raises Problem."""
    await find_tenant(registry, tenant_id)
    token, now = secrets.token_urlsafe(32), datetime.now(UTC)
    await registry.add_link(_digest(token), tenant_id, now + LINK_LIFE, now)
    return Link(f"/dashboard/link/{token}", now + LINK_LIFE)


async def spend_link(registry: Registry, token: str) -> str | None:
    """Use up a link and return its tenant's ID, None if it is unknown, used or expired."""
    return await registry.spend_link(_digest(token), datetime.now(UTC))


async def link_answer(service: TenantService, tenant_id: str) -> Answer:
    """Create a sign-in link to a tenant's page, usable once within 15 minutes."""
    settings = service.settings
    path, expires_at = await make_link(service.registry, tenant_id)
    local = f"http://{settings.host}:{settings.port}"
    site = local if settings.development else f"https://{settings.allowed_hosts[0]}"
    note = f"usable once, until {expires_at:%H:%M} UTC"
    return {"tenant": tenant_id, "url": site + path, "expires_at": expires_at.isoformat(), "note": note}


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
