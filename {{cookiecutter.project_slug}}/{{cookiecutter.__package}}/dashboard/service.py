"""What the pages of one process share."""

import asyncio
from collections.abc import Hashable
from contextlib import suppress
from typing import Any, Self

from ..core.cache import TTLCache
from ..web.services import Services
from .sampler import Sampler
from .store import DashboardStore
from .watch import Watch

SHOWN_S = 2.0
"""How long figures are shown that are dear to compute."""


class Dashboard:
    """An async context manager: balances that were heard are written down while it is entered."""

    def __init__(self, services: Services, store: DashboardStore) -> None:
        self.services = services
        self.store = store
        self.memo = TTLCache[Hashable, Any](1_000, SHOWN_S)
        self.sampler = Sampler(services.balances, store)
        self.watch = Watch(services.balances, store, services.settings.dashboard_interval)

    async def __aenter__(self) -> Self:
        self._sampling = asyncio.create_task(self.sampler.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._sampling.cancel()
        with suppress(asyncio.CancelledError):
            await self._sampling
