"""Bounded cache with an expiry time, which loads a missing value once for all who wait for it."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

import cachetools

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Runs one `load` per key at a time, for all who wait for it. Shielded, because one of them may leave."""

    def __init__(self) -> None:
        self._running: dict[K, asyncio.Task[V]] = {}

    async def run(self, key: K, load: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """Return what `load` returns. Raise what it raises."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(load())
            task.add_done_callback(lambda _: self._running.pop(key))
        return await asyncio.shield(task)


class TTLCache(cachetools.TTLCache[K, V], Generic[K, V]):
    """At most `maxsize` values, each for `ttl` seconds."""

    def __init__(self, maxsize: int, ttl: float) -> None:
        super().__init__(maxsize, ttl)
        self._loading = SingleFlight[K, V]()

    async def load(self, key: K, load: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """Return the cached value, or load and cache it. Raise what `load` raises, and cache nothing then."""
        try:
            return self[key]
        except KeyError:
            value = self[key] = await self._loading.run(key, load)
            return value
