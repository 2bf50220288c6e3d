"""The database: SQLite in a file, or PostgreSQL, by DATABASE_URL; see django_settings.py."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, Self, TypeVar

from django.db import close_old_connections, models

P = ParamSpec("P")
T = TypeVar("T")


class Row(models.Model):
    """A row that stands for a plain record: a dataclass with the same members, a foreign key as the key alone."""

    class Meta:
        abstract = True

    @classmethod
    def of(cls, record: object) -> Self:
        """The row, not saved yet."""
        return cls(**{field.attname: getattr(record, field.name) for field in cls._meta.concrete_fields})

    def values(self) -> dict[str, Any]:
        """The row by column, to make the plain record of it."""
        return {field.name: field.value_from_object(self) for field in self._meta.concrete_fields}


def in_database(work: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make a blocking function awaitable: it runs in a thread, on a connection that is given back at its end.

    Not in the request's own thread, which is Django's way: background tasks ask too, and outlive requests.
    """

    @wraps(work)
    async def run(*args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(in_thread, *args, **kwargs)

    def in_thread(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return work(*args, **kwargs)
        finally:
            close_old_connections()

    return run
