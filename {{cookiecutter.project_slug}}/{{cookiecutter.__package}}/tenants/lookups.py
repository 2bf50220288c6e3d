"""Which tenant is it, and is it served? What every way of authentication asks the registry, and how often."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from cachetools import TTLCache

from ..problems import Problem
from .headers import Headers, check_claim
from .records import Tenant

LOOKUP_LIFE_S = 2.0
"""How long an answer of the registry is believed: a revoked key or suspended tenant is refused after that."""

LONGEST_NAME = 128


class Found(NamedTuple):
    """A tenant, and where it was found by an API key, that key's name and ID."""

    tenant: Tenant
    name: str = ""
    key_id: str = ""


class Lookups:
    """What `ask` tells of a name (an ID, a digest), remembered for LOOKUP_LIFE_S: a bounded number of names."""

    def __init__(self, ask: Callable[[str], Awaitable[Found | None]]) -> None:
        self._ask = ask
        self._known: TTLCache[str, Found] = TTLCache(10_000, LOOKUP_LIFE_S)
        # apart, so that guessed names cannot push out real ones
        self._unknown: TTLCache[str, bool] = TTLCache(1_000, LOOKUP_LIFE_S)
        self._asking: dict[str, asyncio.Task[Found | None]] = {}

    async def find(self, name: str) -> Found | None:
        """What is known of `name`; None also for what can be no name, which no database is asked for."""
        if len(name) > LONGEST_NAME or not (name.isascii() and name.isprintable()):
            return None
        found = self._known.get(name)
        if found is None and name not in self._unknown:
            found = await self._ask_once(name)
        return found

    async def _ask_once(self, name: str) -> Found | None:
        """Ask once for all who wait for the same name; shielded, for one of them may leave."""
        asking = self._asking.get(name)
        if asking is None:
            asking = self._asking[name] = asyncio.create_task(self._ask_and_remember(name))
            asking.add_done_callback(lambda _: self._asking.pop(name, None))
        return await asyncio.shield(asking)

    async def _ask_and_remember(self, name: str) -> Found | None:
        found = await self._ask(name)
        if found is None:
            self._unknown[name] = True
        else:
            self._known[name] = found
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
