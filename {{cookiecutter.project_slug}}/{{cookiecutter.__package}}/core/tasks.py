"""How a process stops: which tasks run to their end, which may be cut, and how it learns that it must."""

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

from .problems import Problem

T = TypeVar("T")

GRACE_S = 6.0
CUT_S = 0.5
"""A call still running GRACE_S after SIGTERM ends at its next chunk; if none comes within CUT_S it is cancelled.
Either way what was delivered is charged."""
DRAIN_S = 2.0


class Tasks:
    """The tasks that a stopping process waits for: they settle holds, or run a plain call to its end."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._cuttable: set[asyncio.Task[Any]] = set()
        self._when_done: list[Callable[[], None]] = []
        self.stopping = False
        """The process was told to stop: nothing new begins."""
        self.ending = False
        """What still runs must end now."""

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run in a task that nobody's leaving cancels."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end and return the result, also if the caller is cancelled meanwhile."""
        task = self.start(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise Problem("shutting_down") from None
            raise

    def is_ours(self, task: "asyncio.Task[Any] | None") -> bool:
        """Return whether nobody but us can cancel this task."""
        return task in self._running

    @contextmanager
    def cuttable(self) -> Iterator[None]:
        """Let a stopping process cancel the current task while the body runs. Raises Problem shutting_down."""
        if self.ending:
            raise Problem("shutting_down")
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (only the loop itself runs without one)
        self._cuttable.add(task)
        try:
            yield
        finally:
            self._cuttable.discard(task)

    def stop(self) -> None:
        """Begin nothing new, let what runs go on for GRACE_S, then end it."""
        if not self.stopping:
            self.stopping = True
            loop = asyncio.get_running_loop()
            loop.call_later(GRACE_S, self._end)
            loop.call_later(GRACE_S + CUT_S, self._cut)

    async def drain(self) -> None:
        """Wait until everything has ended. Cuts what a server has left running."""
        self.stopping = True
        await self._wait(DRAIN_S)
        self._end()
        self._cut()
        await self._wait(CUT_S)

    def when_done(self, callback: Callable[[], None]) -> None:
        """Call back once nothing runs: at once, if nothing does."""
        if self._running:
            self._when_done.append(callback)
        else:
            callback()

    async def _wait(self, seconds: float) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)

    def _end(self) -> None:
        self.ending = True

    def _cut(self) -> None:
        for task in self._cuttable:
            task.cancel()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        while self._when_done and not self._running:
            self._when_done.pop()()


async def uncut(write: Coroutine[Any, Any, None]) -> None:
    """Do all of `write`, also when cancelled meanwhile: a statement left in the middle keeps SQLite locked."""
    task = asyncio.create_task(write)
    try:
        await asyncio.shield(task)
    finally:
        await asyncio.wait([task])


def when_told_to_stop(tell: Callable[[], None]) -> None:
    """Have `tell` called in this event loop on SIGTERM and SIGINT, besides what the server does then.

    uvicorn cuts what runs too long, and tells the application after it; granian lets every answer end, however long it
    takes. Nothing happens where signals are not the server's: in a thread, or under one that has no handlers.
    """
    loop = asyncio.get_running_loop()

    def chained(number: int) -> None:
        before = signal.getsignal(number)
        if not callable(before):
            return

        def handle(number: int, frame: FrameType | None) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(tell)
            before(number, frame)

        signal.signal(number, handle)

    with suppress(ValueError):  # not the main thread
        chained(signal.SIGTERM)
        chained(signal.SIGINT)
