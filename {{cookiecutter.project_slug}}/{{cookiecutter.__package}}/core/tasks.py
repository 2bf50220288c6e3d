"""Tasks that outlive their request, and how they end when the process stops."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any, TypeVar

from .problems import Problem

T = TypeVar("T")

GRACE_S = 6.0
"""Calls may run this long after SIGTERM. Then streams end at their next chunk."""
CUT_S = 0.5
"""What still runs this long after GRACE_S is cancelled. Either way the delivered tokens are charged."""


class Tasks:
    """Tasks that settle holds or run a plain call to its end. A stopping process waits for them."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._cuttable: set[asyncio.Task[Any]] = set()
        self._draining: asyncio.Task[None] | None = None
        self.ending = False
        """What still runs must end now."""

    @property
    def stopping(self) -> bool:
        """Whether nothing new may start."""
        return self._draining is not None

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` in a task that is not cancelled with its request."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` to its end, even if the caller is cancelled. Raise Problem shutting_down if the process stops."""
        task = self.start(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise Problem("shutting_down") from None
            raise

    @contextmanager
    def cuttable(self) -> Iterator[None]:
        """Let a stopping process cancel the current task in the body. Raise Problem shutting_down."""
        if self.ending:
            raise Problem("shutting_down")
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (callbacks have none)
        self._cuttable.add(task)
        try:
            yield
        finally:
            self._cuttable.discard(task)

    def stop(self) -> asyncio.Task[None]:
        """Start nothing new. Return a task that ends when all has ended: at most GRACE_S and twice CUT_S later."""
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain())
        return self._draining

    async def _drain(self) -> None:
        await self._wait(GRACE_S)
        self.ending = True
        await self._wait(CUT_S)
        for task in self._cuttable:
            task.cancel()
        await self._wait(CUT_S)

    async def _wait(self, seconds: float) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)


async def uncut(write: Coroutine[Any, Any, None]) -> None:
    """Finish `write` before raising CancelledError: a statement cut in the middle keeps SQLite locked."""
    task = asyncio.create_task(write)
    try:
        await asyncio.shield(task)
    finally:
        await asyncio.wait([task])


def on_stop_signal(callback: Callable[[], object]) -> None:
    """Call back in this event loop on SIGTERM and SIGINT, in addition to the server's own handler.

    Servers end the lifespan only after their requests: too late for the app to end them. Does nothing in a thread, or
    under a server without handlers.
    """
    loop = asyncio.get_running_loop()

    def chain(previous: Callable[[int, FrameType | None], Any], number: int, frame: FrameType | None) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(callback)
        previous(number, frame)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            if callable(previous := signal.getsignal(number)):
                signal.signal(number, partial(chain, previous))
