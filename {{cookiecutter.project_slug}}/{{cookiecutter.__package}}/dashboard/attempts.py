"""What signing in needs, whatever the framework: a limit to guessing, and a place to go to afterwards."""

from cachetools import TTLCache

from ..problems import Problem

MOST_FAILURES = 5
FAILURES_COUNT_FOR_S = 300

_attempts: TTLCache[tuple[str, str], int] = TTLCache(10_000, FAILURES_COUNT_FOR_S)
"""Tries of a name from an address that have not succeeded."""


def begin(name: str, address: str) -> None:
    """Count a try before its password is checked: tries at the same time count too. Raises Problem."""
    attempt = (name, address)
    if _attempts.get(attempt, 0) >= MOST_FAILURES:
        raise Problem("too_many_attempts", "Try again in a few minutes.", FAILURES_COUNT_FOR_S)
    _attempts[attempt] = _attempts.get(attempt, 0) + 1


def succeeded(name: str, address: str) -> None:
    _attempts.pop((name, address), None)


def local_path(path: str) -> str:
    """Where to go after signing in: `path` if it is a page of the dashboard, never another site."""
    return path if path.startswith("/dashboard/") else "/dashboard/"
