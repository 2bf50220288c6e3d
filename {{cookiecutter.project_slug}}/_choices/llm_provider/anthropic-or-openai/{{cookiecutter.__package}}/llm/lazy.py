"""A provider that is loaded on the first call."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from functools import cached_property

from .provider import Completion, Provider, Request, Stream


class LazyProvider:
    """Loads the real provider in a thread: importing its SDK takes 0.4 s, too long for a start or the event loop."""

    def __init__(self, load: Callable[[], Provider]) -> None:
        self._load = load

    @cached_property
    def _provider(self) -> asyncio.Task[Provider]:
        return asyncio.create_task(asyncio.to_thread(self._load))

    async def complete(self, request: Request) -> Completion:
        return await (await asyncio.shield(self._provider)).complete(request)

    async def stream(self, request: Request) -> Stream:
        async with aclosing((await asyncio.shield(self._provider)).stream(request)) as items:
            async for item in items:
                yield item

    async def aclose(self) -> None:
        if "_provider" in vars(self):
            await (await self._provider).aclose()
