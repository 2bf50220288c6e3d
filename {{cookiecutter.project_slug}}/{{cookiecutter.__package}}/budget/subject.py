"""Whose budget, and which part of it, a call is booked under. Edit `subject_of` to book by other levels."""

import hashlib
import re

from runcycles import Subject

from ..settings import Settings

_PLAIN = re.compile(r"[a-z0-9.-]")
LONGEST = 128


def subject_of(settings: Settings, tenant: str, end_user: str | None = None, agent: str | None = None) -> Subject:
    """The Cycles subject of a call: tenant and app, and where they are named the end user and the agent.

    Cycles orders the levels tenant, workspace, app, workflow, agent, toolset; a level that has no ledger is
    not enforced, so an end user or agent is limited as soon as somebody gives it a ledger of its own.
    """
    return Subject(
        **settings.root_of(tenant),
        app=scope_id(settings.cycles_app),
        workflow=scope_id(end_user) if end_user else None,
        agent=scope_id(agent) if agent else None,
    )


def scopes_of(subject: Subject) -> list[str]:
    """The scope paths that a call of `subject` counts in, from the root on: a ledger at any of them may refuse it."""
    path: list[str] = []
    scopes = []
    for level in ("tenant", "workspace", "app", "workflow", "agent", "toolset"):
        if name := getattr(subject, level):
            path.append(f"{level}:{name.lower()}")
            scopes.append("/".join(path))
    return scopes


def scope_id(name: str) -> str:
    """`name` as an id that Cycles takes (1 to 128 of A-Z a-z 0-9 _ . -), different for different names.

    Cycles folds case, so capitals are escaped too: each byte outside a-z 0-9 . - becomes _ and two hex digits.
    """
    escaped = "".join(
        char if _PLAIN.fullmatch(char) else "".join(f"_{byte:02x}" for byte in char.encode()) for char in name
    )
    if len(escaped) <= LONGEST:
        return escaped
    return f"{escaped[:60]}__{hashlib.sha256(name.encode()).hexdigest()}"
