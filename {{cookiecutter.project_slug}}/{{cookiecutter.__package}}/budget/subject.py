"""Whose budget, and which part of it, a call is booked under. Edit `subject_of` to book by other levels."""

import hashlib
import string
from functools import lru_cache

from ..core.config import Settings

_PLAIN = frozenset(string.ascii_lowercase + string.digits)
LONGEST = 128
LEVELS = ("tenant", "workspace", "app", "workflow", "agent", "toolset")


def subject_of(
    settings: Settings, tenant: str, end_user: str | None = None, agent: str | None = None
) -> dict[str, str]:
    """Return the Cycles subject of a call: tenant and app, and if they are named the end user and the agent.

    Cycles orders the levels tenant, workspace, app, workflow, agent, toolset. A level without a ledger is not
    enforced, so an end user or agent is limited as soon as somebody gives it a ledger of its own.
    """
    levels = {"app": settings.cycles_app, "workflow": end_user, "agent": agent}
    return {**settings.root_of(tenant), **{level: scope_id(name) for level, name in levels.items() if name}}


def scopes_of(subject: dict[str, str]) -> list[str]:
    """Return the scope paths that a call counts in, from the root on. A ledger at any of them may refuse it."""
    path = [f"{level}:{subject[level].lower()}" for level in LEVELS if level in subject]
    return ["/".join(path[:depth]) for depth in range(1, len(path) + 1)]


@lru_cache(10_000)
def scope_id(name: str) -> str:
    """`name` as an id that Cycles takes for a call and for a ledger, different for different names.

    That is 1 to 128 of a-z 0-9 _ . - (case is folded), the first and the last a letter or digit: each other byte, and a
    . or - at an end, becomes `x_` and two hex digits. What is too long then ends in `__` and a digest.
    """
    last = len(name) - 1
    escaped = "".join(
        char if char in _PLAIN or (char in ".-" and 0 < place < last) else _escape(char)
        for place, char in enumerate(name)
    )
    if len(escaped) <= LONGEST:
        return escaped
    return f"{escaped[:60]}__{hashlib.sha256(name.encode()).hexdigest()}"


def _escape(char: str) -> str:
    return "".join(f"x_{byte:02x}" for byte in char.encode())
