"""Limits failed attempts."""

from collections.abc import Hashable
from itertools import count

from cachetools import TTLCache


class Throttle:
    """Allows `limit` failures per key within `seconds` of the first."""

    def __init__(self, limit: int, seconds: int) -> None:
        self._limit = limit
        self._failures: TTLCache[Hashable, count[int]] = TTLCache(10_000, seconds)

    def fail(self, key: Hashable) -> bool:
        """Count a failure. Return whether it is one too many."""
        return next(self._failures.setdefault(key, count(1))) > self._limit

    def clear(self, key: Hashable) -> None:
        """Forget the failures of `key`."""
        self._failures.pop(key, None)
