"""Whether this process can do its work: asked by load balancers, answered at most once a second."""

import asyncio
import time

from ..budget.client import Clients
from ..core.sqlite_file import ERRORS
from ..tenants.registry import Registry

CACHED_S = 1.0
PATIENCE_S = 3.0


class Readiness:
    """What GET /readyz tells: `ok` or a word for each of database, cycles and journal."""

    def __init__(self, registry: Registry, clients: Clients) -> None:
        self._registry = registry
        self._clients = clients
        self._is_migrated = False
        self._checks: dict[str, str] = {}
        self._checked_at = float("-inf")
        self._turn = asyncio.Lock()

    async def checks(self) -> dict[str, str]:
        async with self._turn:
            if time.monotonic() - self._checked_at >= CACHED_S:
                database, cycles = await asyncio.gather(self._database(), self._cycles())
                self._checks = {"database": database, "cycles": cycles, "journal": self._journal()}
                self._checked_at = time.monotonic()
        return self._checks

    async def _database(self) -> str:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._registry.ready()
                self._is_migrated = self._is_migrated or await self._registry.is_migrated()
        except Exception as error:  # noqa: BLE001  (whatever it is, the database does not serve)
            return f"unreachable ({type(error).__name__})"
        return "ok" if self._is_migrated else "not migrated"

    async def _cycles(self) -> str:
        try:
            async with asyncio.timeout(PATIENCE_S):
                return "ok" if await self._clients.is_ready() else "not ready"
        except TimeoutError:
            return "not answering"

    def _journal(self) -> str:
        try:
            self._clients.outbox.check(again=True)
        except ERRORS:
            return "not writable"
        return "ok"
