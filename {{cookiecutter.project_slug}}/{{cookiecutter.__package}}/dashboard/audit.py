"""The audit log: what operators did, on the pages and on the command line."""

import uuid
from datetime import UTC, datetime

from ..core.problems import Problem
from ..tenants.registry import Registry
from ..tenants.service import Output, Verb
from .models import AuditEntry


async def audited(registry: Registry, operator: str, action: str, tenant: str, work: Verb) -> Output:
    """Do an action and return its output. Record it before it begins, and how it ended."""
    texts = {"operator": operator, "action": _fit(action), "tenant": _fit(tenant)}
    entry = AuditEntry(id=str(uuid.uuid4()), at=datetime.now(UTC), **texts)
    await registry.save(entry)
    try:
        output = await work()
        entry.outcome = "done before" if output.get("credited") is False or output.get("tenants") == [] else "done"
    except Problem as problem:
        entry.outcome = f"refused: {problem.code}"
        raise
    finally:
        await registry.save(entry)
    return output


def _fit(text: str) -> str:
    """Return what the column takes: at most 64 characters, and no lone surrogates, which a shell may pass."""
    return text.encode(errors="backslashreplace").decode()[:64]
