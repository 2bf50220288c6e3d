"""Tenant management: what operators do with tenants, in the registry and at Cycles.

Every operation may be interrupted at any point and run again: it completes what is missing.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

from ..calls.models import SERVED
from ..core.config import Settings
from ..core.money import UNIT, format_usd
from ..core.problems import Problem
from .accounts import Accounts
from .adjustments import Adjustments
from .admin_api import RETIRE_AFTER, AdminApi, AdminError, AdminLedger
from .alerts import mask, seal, unseal
from .checks import ANY, Operations, check_id, check_text, find_tenant, microcents
from .identity import first_credential
from .links import make_link
from .models import Tenant
from .registry import Registry
from .renewals import reschedule, schedule

Output = dict[str, Any]
"""The output of a command. Its `note` is for people."""
Verb = Callable[..., Awaitable[Output]]


class TenantService(Operations):
    """Every operation raises Problem, in an operator's words. Amounts are texts in USD."""

    def __init__(self, settings: Settings, registry: Registry, admin: AdminApi) -> None:
        super().__init__(settings, registry, admin)
        self.accounts = Accounts(settings, registry, admin)
        self.adjustments = Adjustments(settings, registry, admin)

    async def add(
        self,
        tenant_id: str,
        name: str,
        budget: str,
        overdraft: str | None = None,
        every: str = "none",
        timezone: str = "UTC",
    ) -> Output:
        """Onboard a tenant. Safe to run again."""
        self.admin.require()
        check_id(tenant_id)
        check_text("name", name, 200)
        amount = microcents("budget", budget)
        limit = None if overdraft is None else microcents("overdraft", overdraft)
        key_name = f"{self.settings.cycles_app} {token_hex(4)}"
        columns = {**schedule(every, timezone), "budget": amount, "period_budget": amount, "overdraft": limit or 0}
        await self.registry.add(Tenant(id=tenant_id, name=name, cycles_key_name=key_name, **columns))
        tenant = await self.registry.tenant(tenant_id)  # perhaps that of an earlier run
        if tenant is None or tenant.status == "closed":
            raise Problem("tenant_closed", f"Tenant {tenant_id} is closed. Choose another ID.")
        renews_otherwise = every not in ("none", tenant.every) or timezone not in ("UTC", tenant.time_zone)
        if renews_otherwise or (tenant.name, tenant.budget) != (name, amount):
            before = f"Tenant {tenant_id} was onboarded as {tenant.name!r} with ${format_usd(tenant.budget)}."
            advice = "`tenants fund` adds credit, `tenants reset` sets another budget, `tenants update` a period."
            raise Problem("tenant_exists", f"{before} {advice}")
        await self.accounts.prepare(tenant)
        if tenant.onboarded:
            note = "onboarded before" if limit is None else await self._change_overdraft(tenant, limit)
            return {"tenant": tenant_id, "created": False, "api_key": None, "note": note}
        note = await self._create_ledger(tenant)
        api_key, plain = first_credential(tenant_id)
        created = await self.registry.update_tenant(tenant_id, {"onboarded": False}, api_key, onboarded=True)
        return {"tenant": tenant_id, "created": created, "api_key": plain if created else None, "note": note}

    async def update(
        self,
        tenant_id: str,
        budget: str | None = None,
        every: str | None = None,
        timezone: str | None = None,
        alert_url: str | None = None,
    ) -> Output:
        """Change a tenant's recurring budget from its next period on, or where its alerts go."""
        tenant = await find_tenant(self.registry, tenant_id)
        changes: dict[str, Any] = {}
        if every or timezone:
            changes = await reschedule(self.adjustments, tenant, every or tenant.every, timezone or tenant.time_zone)
        if budget is not None:
            changes["budget"] = microcents("budget", budget)
            if changes.get("every", tenant.every) == "none":
                raise Problem("usage", "This budget does not recur. Add --every, or use `tenants reset`.")
        if alert_url is not None:
            changes["alert_urls"] = seal(self.settings, alert_url)
        if not changes:
            raise Problem("usage", "Give --budget, --every, --timezone or --alert-url.")
        await self.registry.update_tenant(tenant_id, **changes)
        renews_at = changes.get("renews_at", tenant.renews_at)
        return {"tenant": tenant_id, "renews_at": renews_at.isoformat() if renews_at else None, "note": "updated"}

    async def list_all(self) -> Output:
        """List all tenants with their budgets. Figures that Cycles does not return are null."""
        ledgers, note = dict[str, AdminLedger](), ""
        try:
            ledgers = {ledger.scope: ledger for ledger in await self.admin.all_ledgers()}
        except AdminError as error:
            note = f"Without figures from Cycles: {error.message}"
        rows = [
            {
                "tenant": tenant.id,
                "name": tenant.name,
                "status": tenant.status,
                **figures(ledgers.get(self.settings.scope_of(tenant.id))),
                "renews_at": tenant.renews_at.isoformat() if tenant.renews_at else None,
                "budget": format_usd(tenant.budget),
                "every": tenant.every,
                "timezone": tenant.time_zone,
                "alert_urls": " ".join(map(mask, unseal(self.settings, tenant.alert_urls))) or None,
                "onboarded": tenant.onboarded,
                "key_expires_at": expires_at.isoformat() if (expires_at := tenant.cycles_key_expires_at) else None,
            }
            for tenant in await self.registry.tenants()
        ]
        return {"tenants": rows, "note": note}

    async def fund(self, tenant_id: str, credit: str, reference: str | None = None) -> Output:
        """Add credit to a tenant's budget."""
        amount = microcents("credit", credit)
        if amount == 0:
            raise Problem("invalid_amount", "The credit must be more than 0.")
        if reference is not None:
            check_text("reference", reference, 100)
        await find_tenant(self.registry, tenant_id, statuses=("active",))
        remaining = await self.adjustments.adjust(tenant_id, "fund", amount, reference)
        note = f"{reference} was credited before"
        if remaining is not None:
            note = f"credited ${format_usd(amount)}, ${format_usd(remaining)} remaining"
        return {"tenant": tenant_id, "credited": remaining is not None, "note": note}

    async def reset(self, tenant_id: str | None, budget: str, period: str | None = None) -> Output:
        """Set the budget and set spent to 0, of one tenant or of all active ones (None). Keeps live holds."""
        amount = microcents("budget", budget)
        one = [await find_tenant(self.registry, tenant_id, statuses=("active",))] if tenant_id is not None else []
        tenants = one or await self.registry.tenants()
        done: dict[str, list[str]] = {"tenants": [], "done_before": [], "skipped": []}
        failed = []
        for tenant in tenants:
            if tenant.status != "active" or not tenant.onboarded:
                done["skipped"].append(tenant.id)
                continue
            reference = None if period is None else f"{tenant.id}:{period}"
            try:
                remaining = await self.adjustments.adjust(tenant.id, "reset", amount, reference)
            except Problem as problem:
                # without an answer, or with 401, the next would fail too
                if tenant_id is not None or (isinstance(problem, AdminError) and problem.answered in (0, 401)):
                    raise
                failed.append(f"{tenant.id}: {problem.message}")
            else:
                done["done_before" if remaining is None else "tenants"].append(tenant.id)
        if failed:
            raise Problem("reset_incomplete", f"{len(failed)} of {len(tenants)} failed: {'; '.join(failed)}")
        counts = map(len, done.values())
        return {**done, "note": "{} reset, {} reset before, {} skipped (not active)".format(*counts)}

    async def suspend(self, tenant_id: str) -> Output:
        """Suspend a tenant: refuse its callers. Calls in flight still settle."""
        self.admin.require()
        tenant = await find_tenant(self.registry, tenant_id)
        await self.registry.update_tenant(tenant_id, status="suspended")
        # the Cycles tenant stays active: suspended, it would refuse the commits of calls in flight
        await self._set_frozen(tenant, frozen=True)
        return {"tenant": tenant_id, "note": "suspended: callers get 403 within 5 s; calls in flight still settle"}

    async def resume(self, tenant_id: str) -> Output:
        """Resume a suspended tenant."""
        tenant = await find_tenant(self.registry, tenant_id)
        await self._set_frozen(tenant, frozen=False)
        await self.registry.update_tenant(tenant_id, status="active")
        return {"tenant": tenant_id, "note": "active"}

    async def observe(self, tenant_id: str) -> Output:
        """Serve calls that the budget would refuse, and count them. Suspended and frozen stay refused."""
        await find_tenant(self.registry, tenant_id)
        await self.registry.update_tenant(tenant_id, observed=True)
        return {"tenant": tenant_id, "note": "observed within 5 s: what the budget would refuse is served and counted"}

    async def enforce(self, tenant_id: str) -> Output:
        """Refuse calls that the budget can't pay, which is the default."""
        await find_tenant(self.registry, tenant_id)
        await self.registry.update_tenant(tenant_id, observed=False)
        return {"tenant": tenant_id, "note": "enforced within 5 s: what the budget can't pay is refused"}

    async def report(self, tenant_id: str) -> Output:
        """Report a tenant's recorded calls: which ledgers would refuse how many, and estimates against actual cost."""
        tenant = await find_tenant(self.registry, tenant_id, statuses=ANY)
        rows = [row for row in await self.registry.usage(tenant_id) if row[0] in SERVED]
        refused = {scope or "unknown": calls for outcome, scope, calls, _, _ in rows if outcome == "observed"}
        served = sum(calls for _, _, calls, _, _ in rows)
        return {
            "tenant": tenant_id,
            "observed": tenant.observed,
            "calls": served,
            "estimate": format_usd(sum(held for _, _, _, held, _ in rows)),
            "actual": format_usd(sum(used for _, _, _, _, used in rows)),
            "would_refuse": [{"scope": scope, "calls": calls} for scope, calls in refused.items()],
            "note": f"{served} calls served, {sum(refused.values())} of them beyond the budget",
        }

    async def rotate(self, tenant_id: str, *, now: bool = False) -> Output:
        """Replace a tenant's Cycles key. The old one is revoked when no hold of it is left."""
        self.admin.require()
        tenant = await find_tenant(self.registry, tenant_id)
        return {"tenant": tenant_id, "note": await self.accounts.replace_key(tenant, now=now)}

    async def close(self, tenant_id: str, *, force: bool = False) -> Output:
        """Close a tenant for good: refuse its callers and new holds. Calls in flight still settle."""
        tenant = await find_tenant(self.registry, tenant_id, statuses=ANY)  # a closed one: complete what is missing
        if tenant.status != "closed":
            holds = [ledger.reserved for ledger in await self.ledgers(tenant_id) if ledger.unit == UNIT]
            if any(holds) and not force:
                what = f"Calls of {tenant_id} in flight hold ${format_usd(max(holds))}."
                raise Problem("holds_live", f"{what} Suspend it and wait, or use --force.")
            retire_at = datetime.now(UTC) + RETIRE_AFTER  # until then, calls in flight need the key to settle
            await self.registry.update_tenant(tenant_id, status="closed", retire_at=retire_at)
        await self._set_frozen(tenant, frozen=True)
        return {"tenant": tenant_id, "note": "closed: callers get 401; calls in flight still settle"}

    async def link(self, tenant_id: str) -> Output:
        """Create a sign-in link to a tenant's page, usable once within 15 minutes."""
        path, expires_at = await make_link(self.registry, tenant_id)
        local = f"http://{self.settings.host}:{self.settings.port}"
        site = local if self.settings.development else f"https://{self.settings.allowed_hosts[0]}"
        url, note = f"{site}{self.settings.root_path}{path}", f"usable once, until {expires_at:%H:%M} UTC"
        return {"tenant": tenant_id, "url": url, "expires_at": expires_at.isoformat(), "note": note}

    async def sign_out(self, tenant_id: str) -> Output:
        """End a tenant's sessions and sign-in links."""
        await find_tenant(self.registry, tenant_id, statuses=ANY)
        await self.registry.end_sessions(tenant_id=tenant_id)
        return {"tenant": tenant_id, "note": "signed out; its unused links do not work any more"}

    async def ledgers(self, tenant_id: str) -> list[AdminLedger]:
        """Return a tenant's ledgers, in every unit."""
        return await self.admin.ledgers(self.settings.scope_of(tenant_id))

    async def _change_overdraft(self, tenant: Tenant, limit: int) -> str:
        await self.admin.set_overdraft(self.settings.scope_of(tenant.id), limit)
        await self.registry.update_tenant(tenant.id, overdraft=limit)
        return f"onboarded before; the overdraft limit is now ${format_usd(limit)}"

    async def _create_ledger(self, tenant: Tenant) -> str:
        scope = self.settings.scope_of(tenant.id)
        await self.admin.create_ledger(scope, allocated=tenant.budget, overdraft=tenant.overdraft)
        for ledger in await self.admin.ledgers(scope):
            if (ledger.scope, ledger.unit) == (scope, UNIT) and ledger.allocated != tenant.budget:
                existing = f"Cycles already had a ledger of ${format_usd(ledger.allocated)}"
                return f"onboarded; {existing}, left unchanged. `tenants reset` sets the budget."
        return f"onboarded with ${format_usd(tenant.budget)}"

    async def _set_frozen(self, tenant: Tenant, *, frozen: bool) -> None:
        for ledger in await self.ledgers(tenant.id):
            if ledger.status == ("ACTIVE" if frozen else "FROZEN"):
                await self.admin.set_frozen(ledger, frozen=frozen)


def figures(ledger: AdminLedger | None) -> Output:
    """Return what a list shows of a ledger, in USD. Without one, the values are None."""
    return {name: format_usd(getattr(ledger, name)) if ledger else None for name in ("allocated", "spent", "remaining")}


@asynccontextmanager
async def tenant_service(settings: Settings, registry: Registry) -> AsyncIterator[TenantService]:
    """Open the service with a client of the Cycles Admin API."""
    async with aclosing(AdminApi(settings.cycles_admin_url, settings.cycles_admin_api_key)) as admin:
        yield TenantService(settings, registry, admin)
