"""Caller identity by JWT. X-Tenant-ID is optional and must agree."""

from ..core.config import Settings
from .headers import Headers, bearer_token
from .registry import Registry
from .tenant_cache import TenantCache
from .tokens import Tokens


class Identity:
    """Identifies the callers of one process."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._tokens = Tokens(settings)
        self._tenants = TenantCache(registry, registry.tenant)

    async def identify(self, headers: Headers) -> str:
        """Return the ID of the caller's tenant.

        Raise Problem: unauthenticated, tenant_mismatch, tenant_suspended, invalid_request (two X-Tenant-ID),
        identity_unavailable.
        """
        return await self._tenants.admit(await self._tokens.tenant(bearer_token(headers)), headers)


def first_credential(_tenant: str) -> tuple[None, None]:
    """Return nothing to store or show at the end of onboarding: the issuer makes the tokens."""
    return None, None
