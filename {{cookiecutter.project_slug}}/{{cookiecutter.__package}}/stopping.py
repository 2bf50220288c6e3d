"""How a process learns that it is to stop, and what must not be cut in the middle then."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import FrameType
from typing import Any


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
