"""Readiness of this process, checked at most once a second."""

import asyncio

from ..budget.client import Clients
from ..core.cache import TTLCache
from ..core.sqlite_file import ERRORS
from ..tenants.registry import Registry

CACHED_S = 1.0
TIMEOUT_S = 3.0


class Readiness:
    """Checks for GET /readyz: `ok` or what is wrong, for each of database, cycles and journal."""

    def __init__(self, registry: Registry, clients: Clients) -> None:
        self._registry = registry
        self._clients = clients
        self._is_migrated = False
        self._cache = TTLCache[str, dict[str, str]](1, CACHED_S)

    async def checks(self) -> dict[str, str]:
        return await self._cache.load("checks", self._check)

    async def _check(self) -> dict[str, str]:
        database, cycles = await asyncio.gather(self._database(), self._cycles())
        return {"database": database, "cycles": cycles, "journal": self._journal()}

    async def _database(self) -> str:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._registry.ready()
                self._is_migrated = self._is_migrated or await self._registry.is_migrated()
        except Exception as error:  # noqa: BLE001  (drivers raise many types)
            return f"unreachable ({type(error).__name__})"
        return "ok" if self._is_migrated else "not migrated"

    async def _cycles(self) -> str:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return "ok" if await self._clients.is_ready() else "not ready"
        except TimeoutError:
            return "not answering"

    def _journal(self) -> str:
        try:
            self._clients.outbox.check(again=True)
        except ERRORS:
            return "not writable"
        return "ok"
