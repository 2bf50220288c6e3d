"""Readiness of this process, checked at most once a second."""

import asyncio
from collections.abc import Awaitable

from ..budget.client import Clients
from ..core.cache import TTLCache
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
        return await self._cache.load("checks", self._checks)

    async def _checks(self) -> dict[str, str]:
        results = await asyncio.gather(
            _result(self._database(), "unreachable"),
            _result(self._cycles(), "not answering"),
            _result(self._journal(), "not writable"),
        )
        return dict(zip(("database", "cycles", "journal"), results, strict=True))

    async def _database(self) -> str:
        await self._registry.ready()
        self._is_migrated = self._is_migrated or await self._registry.is_migrated()
        return "ok" if self._is_migrated else "not migrated"

    async def _cycles(self) -> str:
        return "ok" if await self._clients.is_ready() else "not ready"

    async def _journal(self) -> str:
        self._clients.outbox.check(again=True)
        return "ok"


async def _result(check: Awaitable[str], failure: str) -> str:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await check
    except Exception:  # noqa: BLE001  (drivers raise many types)
        return failure
