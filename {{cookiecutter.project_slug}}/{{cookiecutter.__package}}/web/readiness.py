"""Readiness of this process, checked at most once a second."""

import asyncio
from collections.abc import Awaitable

from ..budget.client import Clients
from ..core.cache import TTLCache
from ..tenants.registry import Registry

CACHED_S = 1.0
TIMEOUT_S = 3.0


class Readiness:
    """Checks for GET /readyz: `ok` or a fault, for each of database, cycles and journal."""

    def __init__(self, registry: Registry, clients: Clients) -> None:
        self._registry = registry
        self._clients = clients
        self._cache = TTLCache[str, dict[str, str]](1, CACHED_S)

    async def checks(self) -> dict[str, str]:
        return await self._cache.load("checks", self._checks)

    async def _checks(self) -> dict[str, str]:
        database, cycles, journal = await asyncio.gather(
            _word(self._registry.is_migrated(), "not migrated", "unreachable"),
            _word(self._clients.is_ready(), "not ready", "not answering"),
            _word(self._journal(), "not writable", "not writable"),
        )
        return {"database": database, "cycles": cycles, "journal": journal}

    async def _journal(self) -> bool:
        self._clients.outbox.check()
        return True


async def _word(check: Awaitable[bool], not_ok: str, failed: str) -> str:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return "ok" if await check else not_ok
    except Exception:  # noqa: BLE001  (drivers raise many types)
        return failed
