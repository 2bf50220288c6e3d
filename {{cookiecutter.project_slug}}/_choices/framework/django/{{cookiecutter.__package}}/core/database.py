"""The database: SQLite in a file, or PostgreSQL, by DATABASE_URL; see settings.py."""

import asyncio
import atexit
import os
from collections.abc import Callable, Coroutine, Iterable
from functools import wraps
from typing import Any, ParamSpec, Self, TypeVar

from django.core.signals import request_started
from django.db import close_old_connections, connections, models, reset_queries

P = ParamSpec("P")
T = TypeVar("T")


def _close_pool() -> None:
    """Close PostgreSQL's pool, which is opened again by who asks next; SQLite has none."""
    getattr(connections["default"], "close_pool", lambda: None)()


# the pool's threads keep Python 3.13 from ending for 20 s, and a forked worker would share its parent's connections
atexit.register(_close_pool)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_pool)

# at a request's start there is nothing to close: connections go at its end. Both being synchronous, they would cost
# it a hop to a thread
request_started.disconnect(reset_queries)
request_started.disconnect(close_old_connections)


class Row(models.Model):
    """A row that stands for a plain record: a dataclass with the same members, a foreign key as the key alone."""

    class Meta:
        abstract = True

    @classmethod
    def of(cls, record: object) -> Self:
        """The row, not saved yet."""
        return cls(**{field.attname: getattr(record, field.name) for field in cls._meta.concrete_fields})

    @classmethod
    def upsert(cls, records: Iterable[object], *key: str, keep: tuple[str, ...] = ()) -> None:
        """Put these in the place of the rows with the same key, but for their columns `keep`."""
        others = [field.name for field in cls._meta.concrete_fields if field.name not in (*key, *keep)]
        rows = [cls.of(record) for record in records]
        cls._default_manager.bulk_create(rows, update_conflicts=True, unique_fields=key, update_fields=others)

    def values(self) -> dict[str, Any]:
        """The row by column, to make the plain record of it."""
        return {field.name: field.value_from_object(self) for field in self._meta.concrete_fields}


def in_database(work: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make a blocking function awaitable: it runs in a thread, on a connection that is given back at its end.

    Not in the request's own thread, which is Django's way: background tasks ask too, and outlive requests.
    """
    in_thread = giving_back(work)

    @wraps(work)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(in_thread, *args, **kwargs)

    return run


def giving_back(work: Callable[P, T]) -> Callable[P, T]:
    """For a thread of our own: `work`, which gives the thread's connection back at its end."""

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return work(*args, **kwargs)
        finally:
            close_old_connections()

    return run
