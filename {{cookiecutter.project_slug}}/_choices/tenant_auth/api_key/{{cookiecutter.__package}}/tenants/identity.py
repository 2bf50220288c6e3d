"""Who is calling: the API key decides. X-Tenant-ID is a claim that must agree with it."""

import hmac
from datetime import UTC, datetime

from cachetools import TTLCache

from ..core.config import Settings
from ..core.problems import Problem
from .headers import Headers, bearer_token
from .keys import digest_of, looks_like_a_key, mint_api_key
from .lookups import KNOWN_NAMES, Found, Lookups, admit
from .records import ApiKey, Caller
from .registry import Registry

STAMP_EVERY_S = 60.0
"""How often the use of one key is written down."""


class Identity:
    """The callers of one process."""

    signs_in = True
    """Whether what callers send also opens their tenant's page."""

    def __init__(self, registry: Registry, _settings: Settings) -> None:
        self._registry = registry
        self._owners = Lookups(self._owner_of, registry.version)
        self._stamped: TTLCache[str, bool] = TTLCache(KNOWN_NAMES, STAMP_EVERY_S)
        self._used: dict[str, datetime] = {}

    async def identify(self, headers: Headers) -> Caller:
        """The caller that these headers prove.

        Raises Problem: unauthenticated, tenant_mismatch, tenant_suspended, invalid_request (two X-Tenant-ID).
        """
        key = bearer_token(headers)
        if not looks_like_a_key(key):
            raise Problem("unauthenticated")
        found = admit(await self._owners.find(digest_of(key)), headers)
        self._stamp(found.key_id)
        return Caller(found.tenant.id)

    async def owner(self, key: str) -> tuple[str, str] | None:
        """For the dashboard: the ID of the tenant whose live key this is, and the key's digest."""
        found = await self._registry.find_api_key(digest_of(key)) if looks_like_a_key(key) else None
        return (found[1].id, found[0].digest) if found and found[1].status != "closed" else None

    async def flush(self) -> None:
        """Write down when keys were last used: to be called now and then, and at the end of the process."""
        used, self._used = self._used, {}
        if used:
            await self._registry.touch_api_keys(used)

    async def _owner_of(self, digest: str) -> Found | None:
        found = await self._registry.find_api_key(digest)
        if found is None or not hmac.compare_digest(found[0].digest, digest):
            return None
        key, tenant = found
        return Found(tenant, key.id)

    def _stamp(self, key_id: str) -> None:
        if key_id not in self._stamped:
            self._stamped[key_id] = True
            self._used[key_id] = datetime.now(UTC)


def first_credential(tenant: str) -> tuple[ApiKey, str]:
    """The key to keep, and to show, at the end of onboarding."""
    return mint_api_key(tenant, "first")
