"""Caller identity by API key. X-Tenant-ID is optional and must agree."""

from datetime import UTC, datetime, timedelta

from ..core.ciphers import digest_of
from ..core.config import Settings
from ..core.logging import log
from .headers import Headers, bearer_token
from .keys import mint_api_key
from .models import ApiKey, Tenant
from .registry import DATABASE_ERRORS, Registry
from .tenant_cache import TenantCache

USED_EVERY = timedelta(minutes=10)
"""Precision of a key's last use."""


class Identity:
    """Identifies the callers of one process."""

    def __init__(self, registry: Registry, _settings: Settings) -> None:
        self._registry = registry
        self._tenants = TenantCache(registry, self._tenant_of)

    async def identify(self, headers: Headers) -> str:
        """Return the ID of the caller's tenant.

        Raise Problem: unauthenticated, tenant_mismatch, tenant_suspended, invalid_request (two X-Tenant-ID).
        """
        return await self._tenants.admit(digest_of(bearer_token(headers).encode()), headers)

    async def _tenant_of(self, digest: str) -> Tenant | None:
        key, now = await self._registry.find_api_key(digest), datetime.now(UTC)
        if key and (key.last_used_at is None or key.last_used_at < now - USED_EVERY):
            try:
                await self._registry.touch_api_key(key.id, now)
            except DATABASE_ERRORS:
                log.warning("last use of API key not recorded", key=key.id)
        return key.tenant if key else None


def first_credential(tenant: str) -> tuple[ApiKey, str]:
    """Return the first API key, to store and to show at the end of onboarding."""
    return mint_api_key(tenant, "first")
