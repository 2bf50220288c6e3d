"""Actions of operators on tenants: confirmed, audited, done once."""

import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from ..core.money import parse_usd
from ..core.problems import Problem
from ..tenants.links import make_link
from ..tenants.service import tenant_service
from .figures import Context, check_tenant, find_tenant
from .models import AuditEntry
from .pages import usd
from .service import Dashboard

LONGEST_AMOUNT = 40


class Action(NamedTuple):
    """`amount` is the label of the amount it asks for, if any."""

    title: str
    description: str
    amount: str = ""


ACTIONS = {
    "fund": Action("Add credit", "Adds to the allocation. The amount spent stays the same.", "Credit in USD"),
    "reset": Action(
        "Reset budget",
        "Sets the allocation and sets spent to zero. Live holds and debt are kept.",
        "Budget in USD",
    ),
    "suspend": Action("Suspend", "Callers get 403 within seconds. Calls in flight still settle."),
    "resume": Action("Resume", "Callers are served again while the budget allows."),
    "link": Action("Create sign-in link", "Opens this tenant's page once, within 15 minutes."),
}


def check_verb(verb: str) -> None:
    """Raise Problem not_found unless this is an action."""
    if verb not in ACTIONS:
        raise Problem("not_found")


async def confirmation(dashboard: Dashboard, tenant: str, verb: str, amount: str = "", error: str = "") -> Context:
    """Return the context of action.html, with the error if the action was refused. Raises Problem not_found.

    `is_possible`: this process has the admin access that the action needs.
    """
    check_verb(verb)
    settings = dashboard.services.settings
    return {
        "row": await find_tenant(dashboard, tenant),
        "hold": dashboard.typical_hold,
        "verb": verb,
        "action": ACTIONS[verb],
        "amount": amount,
        "error": error,
        "is_possible": verb == "link" or bool(settings.cycles_admin_url and settings.cycles_admin_api_key),
        "reference": str(uuid.uuid4()),
    }


async def act(dashboard: Dashboard, operator: str, tenant: str, verb: str, amount: str, reference: str) -> str:
    """Run an action and audit it. Return the path of a link, else "". Raises Problem.

    `reference` comes from the form: a form that is sent twice acts once.
    """
    check_verb(verb)
    amount = "".join(filter(str.isprintable, amount))[:LONGEST_AMOUNT] if ACTIONS[verb].amount else ""
    entry = AuditEntry(
        id=str(uuid.uuid4()),
        at=datetime.now(UTC),
        operator=operator,
        action=f"{verb} {amount}".strip(),
        tenant=tenant,
        before=await _summary(dashboard, tenant),
    )
    await dashboard.store.save_audit(entry)
    try:
        path = await _run(dashboard, tenant, verb, amount, reference)
    except Problem as error:
        entry.after = f"refused: {error.code}"
        raise
    else:
        entry.after = await _summary(dashboard, tenant)
    finally:
        await dashboard.store.save_audit(entry)
    return path


async def _run(dashboard: Dashboard, tenant: str, verb: str, amount: str, reference: str) -> str:
    if verb == "link":
        path, _ = await make_link(dashboard.services.registry, tenant)
        return dashboard.services.settings.root_path + path
    arguments = (_checked(amount), reference) if ACTIONS[verb].amount else ()
    async with tenant_service(dashboard.services.settings, dashboard.services.registry) as tenants:
        await getattr(tenants, verb)(tenant, *arguments)
    return ""


def _checked(amount: str) -> str:
    """Return the amount. Raises Problem if it is none, in words that name no option of the command line."""
    try:
        parse_usd(amount)
    except ValueError as error:
        raise Problem("invalid_amount", str(error)) from None
    return amount


async def _summary(dashboard: Dashboard, tenant_id: str) -> str:
    """Return the tenant's status and, if Cycles answers, its budget. Raises Problem not_found."""
    tenant = await check_tenant(dashboard, tenant_id)
    with suppress(Problem):
        if ledger := (await dashboard.services.balances.read(tenant_id, 0.0)).widest:
            return f"{tenant.status}, {usd(ledger.remaining)} of {usd(ledger.allocated)} remaining"
    return tenant.status
