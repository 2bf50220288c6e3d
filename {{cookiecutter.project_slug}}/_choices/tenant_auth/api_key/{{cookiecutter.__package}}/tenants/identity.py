"""Who is calling: the API key decides. X-Tenant-ID is a claim that must agree with it."""

import asyncio
import hmac
from datetime import UTC, datetime

from cachetools import TTLCache

from ..problems import Problem
from ..settings import Settings
from .headers import Headers, bearer_token, check_claim
from .keys import digest_of, first_credential, looks_like_a_key
from .records import ApiKey, Caller, Tenant
from .registry import Registry

__all__ = ["Identity", "first_credential"]

LOOKUP_LIFE_S = 2.0
"""How long an answer of the registry is believed: a revoked key or suspended tenant is refused after that."""

STAMP_EVERY_S = 60.0
"""How often the use of one key is written down."""


class Identity:
    """The callers of one process. Look-ups are remembered for LOOKUP_LIFE_S, a bounded number of them."""

    def __init__(self, registry: Registry, _settings: Settings) -> None:
        self._registry = registry
        self._known: TTLCache[str, tuple[ApiKey, Tenant]] = TTLCache(10_000, LOOKUP_LIFE_S)
        # apart, so that guessed keys cannot push out real ones
        self._unknown: TTLCache[str, bool] = TTLCache(1_000, LOOKUP_LIFE_S)
        self._lookups: dict[str, asyncio.Task[tuple[ApiKey, Tenant] | None]] = {}
        self._stamped: TTLCache[str, bool] = TTLCache(10_000, STAMP_EVERY_S)
        self._used: dict[str, datetime] = {}

    async def identify(self, headers: Headers) -> Caller:
        """The caller that these headers prove.

        Raises Problem: unauthenticated, tenant_mismatch, tenant_suspended, invalid_request (two X-Tenant-ID).
        """
        headers = list(headers)
        key, tenant = await self._look_up(bearer_token(headers))
        if tenant.status == "closed":
            raise Problem("unauthenticated")
        check_claim(headers, tenant.id)
        if tenant.status == "suspended":
            raise Problem("tenant_suspended")
        self._stamp(key)
        return Caller(tenant.id, key.name)

    async def flush(self) -> None:
        """Write down when keys were last used: to be called now and then, and at the end of the process."""
        used, self._used = self._used, {}
        if used:
            await self._registry.touch_api_keys(used)

    async def _look_up(self, plain: str) -> tuple[ApiKey, Tenant]:
        if not looks_like_a_key(plain):
            raise Problem("unauthenticated")
        digest = digest_of(plain)
        found = self._known.get(digest)
        if found is None and digest not in self._unknown:
            found = await self._ask_once(digest)
        if found is None:
            raise Problem("unauthenticated")
        return found

    async def _ask_once(self, digest: str) -> tuple[ApiKey, Tenant] | None:
        """Ask the registry, once for all who wait for the same key; shielded, for one of them may leave."""
        lookup = self._lookups.get(digest)
        if lookup is None:
            lookup = self._lookups[digest] = asyncio.create_task(self._ask(digest))
            lookup.add_done_callback(lambda _: self._lookups.pop(digest, None))
        return await asyncio.shield(lookup)

    async def _ask(self, digest: str) -> tuple[ApiKey, Tenant] | None:
        found = await self._registry.find_api_key(digest)
        if found is None or not hmac.compare_digest(found[0].digest, digest):
            self._unknown[digest] = True
            return None
        self._known[digest] = found
        return found

    def _stamp(self, key: ApiKey) -> None:
        if key.id not in self._stamped:
            self._stamped[key.id] = True
            self._used[key.id] = datetime.now(UTC)
