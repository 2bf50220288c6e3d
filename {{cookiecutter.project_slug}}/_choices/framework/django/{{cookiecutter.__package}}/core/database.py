"""Database access from the event loop, and PostgreSQL's connection pool. settings.py configures the database."""

import os
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread
from django.db import close_old_connections, connections, reset_queries

P = ParamSpec("P")
T = TypeVar("T")


def _close_pool() -> None:
    """Close PostgreSQL's pool: a forked process would share its connections. The next query opens it again."""
    getattr(connections["default"], "close_pool", lambda: None)()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_pool)


def in_database(work: Callable[P, T], limiter: CapacityLimiter | None = None) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make a blocking function awaitable. It runs in a thread, whose connection is returned at the end.

    Not in the request's thread, which is Django's default: background tasks have no request. Not in asyncio's threads:
    Python stops them before `sync` writes its last records.
    """

    def in_thread(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return work(*args, **kwargs)
        finally:
            reset_queries()
            close_old_connections()

    @wraps(work)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return await to_thread.run_sync(partial(in_thread, *args, **kwargs), limiter=limiter)

    return run
