"""The audit log: what operators did, on the pages and on the command line."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from ..core.problems import Problem
from ..tenants.registry import Registry
from .models import AuditEntry


@asynccontextmanager
async def audited(registry: Registry, operator: str, action: str, tenant: str) -> AsyncIterator[None]:
    """Record an action before its block begins, and how the block ended."""
    texts = {"operator": operator, "action": _fit(action), "tenant": _fit(tenant)}
    entry = AuditEntry(id=str(uuid.uuid4()), at=datetime.now(UTC), **texts)
    await registry.save(entry)
    try:
        yield
        entry.outcome = "done"
    except Problem as problem:
        entry.outcome = f"refused: {problem.code}"
        raise
    finally:
        await registry.save(entry)


def _fit(text: str) -> str:
    """Return what the column takes: at most 64 characters, and no lone surrogates, which a shell may pass."""
    return text.encode(errors="backslashreplace").decode()[:64]
