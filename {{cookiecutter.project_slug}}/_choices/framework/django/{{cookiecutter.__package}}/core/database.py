"""Database access from the event loop, and PostgreSQL's connection pool. settings.py configures the database."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable
from functools import wraps
from typing import Any, ParamSpec, Self, TypeVar

from django.db import close_old_connections, connections, models, reset_queries

P = ParamSpec("P")
T = TypeVar("T")


def _close_pool() -> None:
    """Close PostgreSQL's pool: a forked process would share its connections. The next query opens it again."""
    getattr(connections["default"], "close_pool", lambda: None)()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_close_pool)


class Row(models.Model):
    """A model with the fields of a dataclass, the record. A foreign key is the key alone."""

    class Meta:
        abstract = True

    @classmethod
    def of(cls, record: object) -> Self:
        """Return the row of a record, not saved."""
        return cls(**{field.attname: getattr(record, field.name) for field in cls._meta.concrete_fields})

    @classmethod
    def upsert(cls, records: Iterable[object], *key: str, keep: tuple[str, ...] = ()) -> None:
        """Insert records, or update the rows with the same `key` except their columns `keep`."""
        others = [field.name for field in cls._meta.concrete_fields if field.name not in (*key, *keep)]
        rows = [cls.of(record) for record in records]
        cls._default_manager.bulk_create(rows, update_conflicts=True, unique_fields=key, update_fields=others)

    def values(self) -> dict[str, Any]:
        """Return the row's values by column, to build its record."""
        return {field.name: field.value_from_object(self) for field in self._meta.concrete_fields}


def in_database(work: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make a blocking function awaitable. It runs in a thread, whose connection is returned at the end.

    Not in the request's thread, which is Django's default: background tasks have no request.
    """
    in_thread = giving_back(work)

    @wraps(work)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(in_thread, *args, **kwargs)

    return run


def giving_back(work: Callable[P, T]) -> Callable[P, T]:
    """Return the thread's database connection when `work` ends: what Django does at a request's end."""

    @wraps(work)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return work(*args, **kwargs)
        finally:
            reset_queries()
            close_old_connections()

    return run
