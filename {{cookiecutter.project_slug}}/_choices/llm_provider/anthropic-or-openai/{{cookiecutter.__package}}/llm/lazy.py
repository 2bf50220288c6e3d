"""A provider that is made on its first call."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from .provider import Completion, Provider, Request, Stream


class LazyProvider:
    """Makes the real provider on the first call, in a thread.

    Importing a vendor's SDK takes one to three seconds, which neither start-up nor the event loop can spare.
    """

    def __init__(self, make: Callable[[], Provider]) -> None:
        self._make = make
        self._made: Provider | None = None
        self._making = asyncio.Lock()

    async def complete(self, request: Request) -> Completion:
        return await (await self._provider()).complete(request)

    async def stream(self, request: Request) -> Stream:
        async with aclosing((await self._provider()).stream(request)) as items:
            async for item in items:
                yield item

    async def aclose(self) -> None:
        if self._made is not None:
            await self._made.aclose()

    async def _provider(self) -> Provider:
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(self._make)
        return self._made
