"""What operators may do on the pages: the command line's verbs, each confirmed and written down."""

import uuid
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ..core.money import format_usd
from ..core.problems import Problem
from ..tenants.links import make_link
from ..tenants.service import tenant_service
from .figures import Context, row_of, tenant_of
from .records import AuditEntry
from .service import Dashboard

LONGEST_AMOUNT = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A verb of `tenants`, in words; `amount` and `option` are what it asks for and how the command line calls that."""

    verb: str
    title: str
    words: str
    amount: str = ""
    option: str = ""

    def command(self, tenant: str) -> str:
        """What to type after the name of the command line."""
        return f"tenants {self.verb} {tenant}" + (f" {self.option} 5.00" if self.option else "")


ACTIONS = {
    action.verb: action
    for action in (
        Action(
            verb="fund",
            title="Add credit",
            words="Adds to the allocation. What is spent stays spent.",
            amount="Credit in USD",
            option="--credit",
        ),
        Action(
            verb="reset",
            title="Begin anew",
            words="Sets the allocation and nothing spent, as at the start of a period. Live holds and debt are kept.",
            amount="Budget in USD",
            option="--budget",
        ),
        Action(verb="suspend", title="Suspend", words="Callers get 403 within seconds. Calls under way still settle."),
        Action(verb="resume", title="Resume", words="Callers are served again, as far as the budget goes."),
        Action(verb="link", title="Make a sign-in link", words="Opens this tenant's page, once, within 15 minutes."),
    )
}


def action_of(verb: str) -> Action:
    """Raises Problem not_found."""
    if verb not in ACTIONS:
        raise Problem("not_found")
    return ACTIONS[verb]


async def confirmation(dashboard: Dashboard, tenant: str, action: Action, amount: str = "", fault: str = "") -> Context:
    """For action.html: what is to be confirmed, again with the `fault` if it was refused. Raises Problem not_found.

    `can`: this process was given what the action needs; if not, the command line has to do it.
    """
    settings = dashboard.services.settings
    return {
        "row": await row_of(dashboard, await tenant_of(dashboard, tenant)),
        "action": action,
        "amount": amount,
        "fault": fault,
        "can": action.verb == "link" or bool(settings.cycles_admin_url and settings.cycles_admin_api_key),
        "reference": str(uuid.uuid4()),
    }


async def act(dashboard: Dashboard, operator: str, tenant: str, action: Action, amount: str, reference: str) -> str:
    """Do it and write it down; what came of it: a link's path, or words.

    `reference` comes from the form: sent twice, it is done once. Raises Problem.
    """
    amount = amount if action.amount else ""
    if not amount.isprintable() or len(amount) > LONGEST_AMOUNT:
        raise Problem("invalid_amount", "This is not an amount in USD like 5.00")
    entry = AuditEntry(
        id=str(uuid.uuid4()),
        at=datetime.now(UTC),
        operator=operator,
        action=f"{action.verb} {amount}".strip(),
        tenant=tenant,
        before=await _state_of(dashboard, tenant),
    )
    await dashboard.store.add_audit(entry)
    try:
        came_of_it = await _do(dashboard, tenant, action, amount, reference)
    except Problem as problem:
        await dashboard.store.add_audit(replace(entry, after=f"refused: {problem.code}"))
        raise
    await dashboard.store.add_audit(replace(entry, after=await _state_of(dashboard, tenant)))
    return came_of_it


async def _do(dashboard: Dashboard, tenant: str, action: Action, amount: str, reference: str) -> str:
    if action.verb == "link":
        return (await make_link(dashboard.services.registry, tenant)).path
    async with tenant_service(dashboard.services.settings, dashboard.services.registry) as service:
        if action.verb == "fund":
            done = await service.fund(tenant, amount, reference)
        elif action.verb == "reset":
            done = await service.reset(tenant, amount, reference)
        else:
            done = await (service.suspend(tenant) if action.verb == "suspend" else service.resume(tenant))
    return str(done["note"])


async def _state_of(dashboard: Dashboard, tenant_id: str) -> str:
    """For the audit: the tenant's status and, if Cycles tells, its budget. Raises Problem not_found."""
    tenant = await tenant_of(dashboard, tenant_id)
    with suppress(Problem):
        known = await dashboard.services.balances.read(tenant_id, 0.0)
        if known and (ledger := known.widest):
            return f"{tenant.status}, {format_usd(ledger.remaining)} of {format_usd(ledger.allocated)} USD left"
    return tenant.status
