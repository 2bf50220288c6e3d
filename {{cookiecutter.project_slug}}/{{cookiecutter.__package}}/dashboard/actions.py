"""Actions of operators on tenants: confirmed, audited, done once."""

import uuid
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

from ..core.money import format_usd
from ..core.problems import Problem
from ..tenants.checks import microcents
from ..tenants.service import tenant_service
from .audit import audited
from .figures import Context, find_budget
from .service import Dashboard

WITH_AMOUNT = {"fund": ("credit", "reference"), "reset": ("budget", "period")}
"""Verbs that take an amount, and what TenantService calls it and the reference that makes it once."""
ACTIONS = (*WITH_AMOUNT, "suspend", "resume", "link")
"""The verbs of TenantService that the pages offer."""
DONE = {
    "fund": "Added ${amount} of credit to {name}.",
    "reset": "Reset the budget of {name} to ${amount}.",
    "suspend": "Suspended {name}. Callers get 403 within seconds.",
    "resume": "Resumed {name}. Callers are served again while the budget allows.",
}


async def confirmation(dashboard: Dashboard, tenant: str, verb: str, amount: str = "") -> Context:
    """Return the context of action.html. Raise Problem not_found."""
    if verb not in ACTIONS:
        raise Problem("not_found")
    return {
        "row": await find_budget(dashboard, tenant),
        "hold": dashboard.typical_hold,
        "verb": verb,
        "amount": amount,
        "reference": str(uuid.uuid4()),
    }


async def act(dashboard: Dashboard, operator: str, form: Context, reference: str) -> tuple[str, str]:
    """Run one of ACTIONS and audit it. Return the path of a link, else "", and what the next page says. Raise Problem.

    `form` is its `confirmation`, and `reference` what it was sent with: a form that is sent twice acts once.
    """
    row, verb, amount = form["row"], form["verb"], form["amount"]
    tenant, action, options = row.tenant.id, verb, {}
    if verb in WITH_AMOUNT:
        amount = format_usd(microcents("amount", amount))
        action, options = f"{verb} {amount}", dict(zip(WITH_AMOUNT[verb], (amount, reference), strict=True))
    settings, registry = dashboard.services.settings, dashboard.services.registry
    async with tenant_service(settings, registry) as tenants:
        answer = await audited(registry, operator, action, tenant, partial(getattr(tenants, verb), tenant, **options))
    with suppress(Problem):  # show the new balance at once
        await dashboard.services.balances.read(tenant, 0.0)
    message = DONE.get(verb, "").format(name=row.tenant.name, amount=amount)
    return str(urlsplit(answer.get("url", "")).path), message
