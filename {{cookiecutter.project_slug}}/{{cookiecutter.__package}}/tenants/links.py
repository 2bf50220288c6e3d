"""Links by which a tenant's people sign in to its page: made by an operator, good once and for a quarter of an hour."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from ..core.config import Settings
from ..core.errors import TenantsError
from .registry import Registry

LINK_LIFE = timedelta(minutes=15)


class Link(NamedTuple):
    """`path` holds the secret: only its SHA-256 is stored."""

    path: str
    expires_at: datetime


async def make_link(registry: Registry, tenant_id: str) -> Link:
    """A link for a tenant that is not closed. Raises TenantsError."""
    tenant = await registry.tenant(tenant_id)
    if tenant is None or tenant.status == "closed":
        raise TenantsError("unknown_tenant", f"There is no open tenant {tenant_id!r}: see `tenants list`")
    token, now = secrets.token_urlsafe(32), datetime.now(UTC)
    await registry.add_link(_digest(token), tenant_id, now + LINK_LIFE, now)
    return Link(f"/dashboard/link/{token}", now + LINK_LIFE)


async def spend_link(registry: Registry, token: str) -> str | None:
    """The ID of the tenant that a link is for, told once; None for an unknown, spent or expired one."""
    return await registry.spend_link(_digest(token), datetime.now(UTC))


async def show_link(settings: Settings, registry: Registry, tenant_id: str) -> dict[str, Any]:
    """What `tenants link` shows. Where the site is, the command line can only guess from the settings."""
    link = await make_link(registry, tenant_id)
    here = f"http://{settings.host}:{settings.port}"
    site = here if settings.development else f"https://{settings.allowed_hosts[0]}"
    note = f"good once, until {link.expires_at:%H:%M} UTC"
    return {"tenant": tenant_id, "url": site + link.path, "expires_at": link.expires_at.isoformat(), "note": note}


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
