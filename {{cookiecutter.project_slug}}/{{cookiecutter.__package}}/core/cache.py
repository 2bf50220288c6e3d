"""Answers that are shared by all who ask: found out once, believed for a moment."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

from cachetools import TTLCache

T = TypeVar("T")
BELIEVED_S = 2.0


class Once:
    """Runs `find` once for all who wait for the same key. Shielded: one of them may leave."""

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[Any]] = {}

    async def get(self, key: Hashable, find: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Raises what `find` raises."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(find())
            task.add_done_callback(lambda _: self._running.pop(key))
        found: T = await asyncio.shield(task)
        return found


class Memo:
    """What `find` told of a key within the last `believed_s`; it runs once for all who wait for the same."""

    def __init__(self, believed_s: float = BELIEVED_S) -> None:
        self._tasks: TTLCache[Hashable, asyncio.Task[Any]] = TTLCache(1_000, believed_s)

    async def get(self, key: Hashable, find: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Raises what `find` raises, which is forgotten at once."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.create_task(find())
        try:
            found: T = await asyncio.shield(task)
        except BaseException:
            if self._tasks.get(key) is task:
                del self._tasks[key]
            raise
        return found
