"""Commands for the budgets of end users and agents, below their tenant's."""

from uuid import uuid4

from ..budget.subject import scopes_of, subject_of
from ..core.money import UNIT, format_usd
from ..core.problems import Problem
from ..tenants.checks import check_text, find_tenant, microcents
from ..tenants.service import Output, TenantService, figures


async def set_budget(
    service: TenantService, tenant_id: str, *, budget: str, end_user: str | None = None, agent: str | None = None
) -> Output:
    """Set the budget of an end user, of an agent, or of an agent that works for an end user. Keeps what is spent."""
    amount = microcents("budget", budget)
    if not (end_user or agent):
        raise Problem("usage", "Give --end-user, --agent or both.")
    for name in filter(None, (end_user, agent)):
        check_text("name", name, 256)
    await find_tenant(service.registry, tenant_id, statuses=("active",))
    scope = scopes_of(subject_of(service.settings, tenant_id, end_user, agent))[-1]
    known = [ledger for ledger in await service.ledgers(tenant_id) if (ledger.scope, ledger.unit) == (scope, UNIT)]
    if known:
        await service.admin.fund(scope, "RESET", amount, str(uuid4()))
    else:
        await service.admin.create_ledger(scope, allocated=amount, overdraft=0)
    return {"tenant": tenant_id, "scope": scope, "created": not known, "note": f"${format_usd(amount)} from now on"}


async def list_budgets(service: TenantService, tenant_id: str) -> Output:
    """List a tenant's budgets: its own, and those of its end users and agents."""
    await find_tenant(service.registry, tenant_id)
    ledgers = [ledger for ledger in await service.ledgers(tenant_id) if ledger.unit == UNIT]
    rows = [{"scope": ledger.scope, "status": ledger.status.lower(), **figures(ledger)} for ledger in ledgers]
    return {"tenant": tenant_id, "budgets": sorted(rows, key=lambda row: row["scope"])}
