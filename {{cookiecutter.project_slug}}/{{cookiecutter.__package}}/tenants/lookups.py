"""Which tenant is it, and is it served? What every way of authentication asks the registry, and how often."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

from ..core.cache import SingleFlight, TTLCache
from ..core.problems import Problem
from .headers import Headers, check_claim
from .records import Tenant

LOOKUP_LIFE_S = 2.0
"""How long the registry is believed not to have changed: a revoked key or suspended tenant is refused after that."""

KNOWN_LIFE_S = 300.0
"""How long an answer is believed of a registry that has not changed; what is changed by hand is seen after that."""

KNOWN_NAMES = 20_000

LONGEST_NAME = 128


class Found(NamedTuple):
    """A tenant, and where it was found by an API key, that key's ID."""

    tenant: Tenant
    key_id: str = ""


class Lookups:
    """What `ask` tells of a name (an ID, a digest), remembered as long as `version` tells the same of the registry.

    Else each of many tenants would cost a query whenever it comes back. A bounded number of names is remembered.
    """

    def __init__(
        self, ask: Callable[[str], Awaitable[Found | None]], version: Callable[[], Coroutine[Any, Any, str]]
    ) -> None:
        self._ask = ask
        self._version = version
        self._versions = TTLCache[str, str](1, LOOKUP_LIFE_S)
        self._known: TTLCache[str, tuple[str, Found]] = TTLCache(KNOWN_NAMES, KNOWN_LIFE_S)
        # apart, so that guessed names cannot push out real ones
        self._unknown: TTLCache[str, bool] = TTLCache(1_000, LOOKUP_LIFE_S)
        self._asking = SingleFlight[tuple[str, str], Found | None]()

    async def find(self, name: str) -> Found | None:
        """What is known of `name`; None also for what can be no name, which no database is asked for."""
        if len(name) > LONGEST_NAME or not (name.isascii() and name.isprintable()):
            return None
        version = await self._versions.load("", self._version)
        known = self._known.get(name)
        if known and known[0] == version:
            return known[1]
        if name in self._unknown:
            return None
        return await self._asking.run((version, name), lambda: self._ask_and_remember(version, name))

    async def _ask_and_remember(self, version: str, name: str) -> Found | None:
        """`version` was read before: what has changed since is asked for again as soon as that is seen to move."""
        found = await self._ask(name)
        if found is None:
            self._unknown[name] = True
        else:
            self._known[name] = (version, found)
        return found


def admit(found: Found | None, headers: Headers) -> Found:
    """What was found, if it is a tenant that is served and X-Tenant-ID does not say otherwise.

    Raises Problem: unauthenticated, tenant_mismatch, tenant_suspended, invalid_request (two X-Tenant-ID).
    """
    if found is None or found.tenant.status == "closed":
        raise Problem("unauthenticated")
    check_claim(headers, found.tenant.id)
    if found.tenant.status == "suspended":
        raise Problem("tenant_suspended")
    return found
