"""Sign-in links for a tenant's people: created by an operator, usable once. A used link is a session."""

import secrets
from datetime import UTC, datetime, timedelta

from ..core.ciphers import digest_of
from ..core.config import SESSION_LIFE_S
from ..core.problems import Problem
from .checks import find_tenant
from .models import SignIn
from .registry import Registry

LINK_LIFE = timedelta(minutes=15)


async def make_link(registry: Registry, tenant_id: str) -> tuple[str, datetime]:
    """Create a link for an open tenant and return its path and expiry. Raise Problem.

    The path contains the secret, of which only the SHA-256 is stored.
    """
    await find_tenant(registry, tenant_id)
    token, expires_at = secrets.token_urlsafe(32), datetime.now(UTC) + LINK_LIFE
    await registry.add_sign_in(SignIn(id=digest_of(token.encode()), tenant_id=tenant_id, expires_at=expires_at))
    return f"/dashboard/link/{token}", expires_at


async def use_link(registry: Registry, token: str) -> str:
    """Use up a link and return the ID of its session. Raise Problem unauthenticated."""
    session_id, expires_at = digest_of(token.encode()), datetime.now(UTC) + timedelta(seconds=SESSION_LIFE_S)
    if not await registry.use_link(session_id, expires_at):
        raise Problem("unauthenticated", "This link was already used or has expired. Ask for a new one.")
    return session_id
