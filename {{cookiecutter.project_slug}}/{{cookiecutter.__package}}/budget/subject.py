"""Which budget a call is booked under. Edit `subject_of` to book by other levels."""

import hashlib
import re
from functools import lru_cache
from itertools import accumulate
from typing import Any

from ..core.config import Settings

_REFUSED = re.compile(r"[^a-z0-9.-]|\A[.-]|[.-]\Z")
LONGEST = 128
LEVELS = ("tenant", "workspace", "app", "workflow", "agent", "toolset")
"""Cycles' levels of a budget, widest first."""


def subject_of(
    settings: Settings, tenant: str, end_user: str | None = None, agent: str | None = None
) -> dict[str, Any]:
    """Return the Cycles subject of a call: tenant, app, and if given the end user and the agent.

    Its values are str: Any lets `@cycles` take them as keywords.
    A level without a ledger is not enforced, so an end user or agent is limited as soon as it gets a ledger of its own.
    """
    levels = {"app": settings.cycles_app, "workflow": end_user, "agent": agent}
    return {**settings.root_of(tenant), **{level: scope_id(name) for level, name in levels.items() if name}}


def scopes_of(subject: dict[str, str]) -> list[str]:
    """Return the scope paths that a call counts in, from the root down. A ledger at any of them may refuse it."""
    parts = [f"{level}:{subject[level].lower()}" for level in LEVELS if level in subject]
    return list(accumulate(parts, "{}/{}".format))


@lru_cache(10_000)
def scope_id(name: str) -> str:
    """Return `name` as an ID that Cycles accepts for calls and ledgers, a different one for each name.

    Such an ID has 1 to 128 of a-z 0-9 _ . - (Cycles folds case), and begins and ends with a letter or digit. Other
    bytes, and a . or - at an end, become `x_` and two hex digits. If that is too long, it ends in `__` and a digest.
    """
    escaped = _REFUSED.sub(lambda char: "".join(f"x_{byte:02x}" for byte in char[0].encode()), name)
    if len(escaped) <= LONGEST:
        return escaped
    return f"{escaped[:60]}__{hashlib.sha256(name.encode()).hexdigest()}"
