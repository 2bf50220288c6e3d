"""Keeping tenants: what the command line's verbs do, in the registry and at Cycles.

A verb may be killed between any two steps and run again: what is done is found done, and the rest follows. Two
runs at the same moment end in one Cycles key: a key is stored only in place of the one that the run has seen.
"""

import re
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Literal

from ..core.config import Settings
from ..core.errors import TenantsError
from ..core.money import UNIT, format_usd, parse_usd
from .accounts import Accounts
from .admin_api import AdminApi, AdminError, AdminLedger
from .identity import first_credential
from .records import Adjustment, Tenant
from .registry import Registry, open_registry

WRONG_CLOCKS = timedelta(hours=1)
ENGINE_REMEMBERS = timedelta(hours=24) - WRONG_CLOCKS
"""How long a request may be repeated under its idempotency key."""

# Cycles takes a tenant `acme-`, but no ledger for it
_ID = re.compile(r"[a-z0-9][a-z0-9-]{1,62}[a-z0-9]", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What became of a tenant. `note` is for people."""

    tenant: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Added(Done):
    """`api_key` is the caller's first key, shown once; None where there is none to show."""

    created: bool
    api_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Funded(Done):
    """`credited` is False when this reference had been credited before."""

    credited: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WasReset:
    """IDs: reset now, reset for this period before, and left alone because they are not active."""

    tenants: list[str]
    done_before: list[str]
    skipped: list[str]
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A tenant as `tenants list` shows it: `budget` is what it was onboarded with, in USD."""

    tenant: str
    name: str
    status: str
    budget: str
    onboarded: bool
    key_expires_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    tenants: list[Listed]
    note: str


class Onboarding:
    """The verbs. Each raises TenantsError (AdminError) in an operator's words.

    `admin` is None without CYCLES_ADMIN_URL and CYCLES_ADMIN_API_KEY: what needs it is refused then. Amounts
    come in as USD text.
    """

    def __init__(self, settings: Settings, registry: Registry, admin: AdminApi | None) -> None:
        self.settings = settings
        self.registry = registry
        self.accounts = Accounts(settings, registry)
        self.admin = admin

    async def add(self, tenant_id: str, name: str, budget: str, overdraft: str | None = None) -> Added:
        """Onboard a tenant: at Cycles, with a key and a funded ledger, and with a first key for its callers.

        Again with the same answers: nothing is done but setting another overdraft limit, if one is given.
        Refused with another name or budget.
        """
        admin = self._control()
        check_id(tenant_id)
        _check_name(name)
        microcents = _usd("budget", budget)
        limit = None if overdraft is None else _usd("overdraft", overdraft)
        tenant = await self.registry.tenant(tenant_id)
        if tenant is None:
            tenant = Tenant(
                id=tenant_id,
                name=name,
                budget=microcents,
                overdraft=limit or 0,
                cycles_key_name=f"{self.settings.cycles_app} {token_hex(4)}",
                created_at=datetime.now(UTC),
            )
            if not await self.registry.add_tenant(tenant):  # another run was quicker
                tenant = await self._known(tenant_id)
        _check_same(tenant, name, microcents)
        if tenant.onboarded:
            return await self._added_before(tenant, admin, limit)
        await self.accounts.begin(tenant, admin)
        note = await self._ensure_ledger(tenant)
        api_key, plain = first_credential(tenant_id)
        created = await self.registry.finish_onboarding(tenant_id, api_key)
        return Added(tenant=tenant_id, created=created, api_key=plain if created else None, note=note)

    async def listing(self) -> Listing:
        """All tenants, by ID. Also revokes the replaced keys whose time has come, given admin access."""
        tenants = await self.registry.tenants()
        notes = await self.accounts.look_after(tenants, self.admin)
        return Listing(tenants=[_listed(tenant) for tenant in tenants], note="\n".join(notes))

    async def fund(self, tenant_id: str, credit: str, reference: str | None = None, *, again: bool = False) -> Funded:
        """Credit a tenant's ledger: each time, or with a reference once for ever.

        `again` does also what nobody can tell any more whether it was done.
        """
        tenant = await self._active(tenant_id)
        amount = _usd("credit", credit)
        if amount == 0:
            raise TenantsError("invalid_amount", "--credit must be more than 0")
        wanted = _adjustment(f"fund:{_label('reference', reference)}", tenant, "fund", amount)
        remaining = await (self._apply(wanted) if reference is None else self._apply_once(wanted, again=again))
        if remaining is None:
            return Funded(tenant=tenant_id, credited=False, note=f"{reference} was credited before")
        note = f"credited {format_usd(amount)} USD; {format_usd(remaining)} USD remain"
        return Funded(tenant=tenant_id, credited=True, note=note)

    async def reset(
        self, tenant_id: str | None, budget: str, period: str | None = None, *, again: bool = False
    ) -> WasReset:
        """Begin anew with `budget` and nothing spent, live holds and debt kept: one tenant, or all active.

        With a period, once per tenant and period, for ever; `again` as with `fund`. If one of all fails, the others
        are reset all the same, and TenantsError names the failed.
        """
        amount = _usd("budget", budget)
        await self.retire_keys()
        chosen = await self.registry.tenants() if tenant_id is None else [await self._active(tenant_id)]
        label = _label("period", period)
        done: list[str] = []
        done_before: list[str] = []
        skipped: list[str] = []
        failed: list[str] = []
        for tenant in chosen:
            if tenant.status != "active" or not tenant.onboarded:
                skipped.append(tenant.id)
                continue
            wanted = _adjustment(f"reset:{tenant.id}:{label}", tenant, "reset", amount)
            try:
                remaining = await (self._apply(wanted) if period is None else self._apply_once(wanted, again=again))
            except TenantsError as error:
                if tenant_id is not None or (isinstance(error, AdminError) and error.concerns_all):
                    raise
                failed.append(f"{tenant.id}: {error}")
            else:
                (done_before if remaining is None else done).append(tenant.id)
        if failed:
            raise TenantsError("reset_incomplete", f"{len(failed)} of {len(chosen)} failed: {'; '.join(failed)}")
        note = f"{len(done)} reset, {len(done_before)} reset before, {len(skipped)} not active and left alone"
        return WasReset(tenants=done, done_before=done_before, skipped=skipped, note=note)

    async def suspend(self, tenant_id: str) -> Done:
        """Refuse the tenant's callers, and new holds; calls in flight still settle.

        The ledgers are frozen. The Cycles tenant is left as it is: suspended, it would refuse their commits.
        """
        self._control()  # refuses before anything is written
        tenant = await self._open(tenant_id)
        await self.registry.update_tenant(tenant.id, status="suspended")
        await self._freeze(tenant)
        return Done(tenant=tenant.id, note="suspended: callers get 403 within seconds; calls in flight still settle")

    async def resume(self, tenant_id: str) -> Done:
        """Serve a suspended tenant again."""
        admin = self._control()
        tenant = await self._open(tenant_id)
        for ledger in await self.accounts.ledgers(tenant.id, admin):
            if ledger.status == "FROZEN":
                await admin.unfreeze(ledger)
        await self.registry.update_tenant(tenant.id, status="active")
        return Done(tenant=tenant.id, note="active again")

    async def rotate(self, tenant_id: str, *, now: bool = False) -> Done:
        """Replace the Cycles key. The old one is revoked when its last hold is over, or at once (`now`)."""
        admin = self._control()
        tenant = await self._open(tenant_id)
        return Done(tenant=tenant.id, note=await self.accounts.rotate(tenant, admin, now=now))

    async def retire_keys(self) -> None:
        """Revoke, given admin access, the replaced keys whose time has come."""
        if self.admin is not None:
            await self.accounts.retire_keys(self.admin)

    async def close(self, tenant_id: str, *, force: bool = False) -> Done:
        """Refuse the tenant's callers and new holds for good; not while holds live unless forced.

        Safe to run again: a closed tenant may be one whose close was interrupted.
        """
        admin = self._control()
        tenant = await self._onboarded(tenant_id)
        if tenant.status != "closed":
            held = _held(await self.accounts.ledgers(tenant.id, admin))
            if held and not force:
                what = f"Calls of {tenant.id} in flight hold {format_usd(held)} USD"
                raise TenantsError("holds_live", f"{what}: suspend it and wait, or lose their settlement by --force")
            await self.accounts.before_close(tenant)
            await self.registry.update_tenant(tenant.id, status="closed")
        await self._freeze(tenant)
        # a call may have come in between; now that the ledgers are frozen, no other can
        held = _held(await self.accounts.ledgers(tenant.id, admin))
        note = await self.accounts.after_close(tenant, admin, held, force=force)
        return Done(tenant=tenant.id, note=f"closed: callers get 401; {note}")

    async def rewrap(self) -> dict[str, list[str]]:
        """Seal every Cycles key anew with the newest of TENANT_KEYS_SECRET; `tenants`: whose."""
        return {"tenants": await self.accounts.rewrap()}

    def _control(self) -> AdminApi:
        if self.admin is None:
            name = "CYCLES_ADMIN_URL" if not self.settings.cycles_admin_url else "CYCLES_ADMIN_API_KEY"
            raise TenantsError("not_configured", f"{name} is missing: tenants are kept by the Cycles Admin API")
        return self.admin

    async def _known(self, tenant_id: str) -> Tenant:
        tenant = await self.registry.tenant(tenant_id)
        if tenant is None:
            raise TenantsError("unknown_tenant", f"There is no tenant {tenant_id!r}: see `tenants list`")
        return tenant

    async def _onboarded(self, tenant_id: str) -> Tenant:
        tenant = await self._known(tenant_id)
        if not tenant.onboarded:
            detail = f"Onboarding of {tenant_id} was interrupted: run the same `tenants add` again"
            raise TenantsError("not_onboarded", detail)
        return tenant

    async def _open(self, tenant_id: str) -> Tenant:
        tenant = await self._onboarded(tenant_id)
        if tenant.status == "closed":
            raise TenantsError("tenant_closed", f"Tenant {tenant_id} is closed")
        return tenant

    async def _active(self, tenant_id: str) -> Tenant:
        """An open tenant whose ledger can be changed: Cycles refuses that of a frozen one."""
        tenant = await self._open(tenant_id)
        if tenant.status == "suspended":
            raise TenantsError("tenant_suspended", f"Tenant {tenant_id} is suspended: `tenants resume` it first")
        return tenant

    async def _added_before(self, tenant: Tenant, admin: AdminApi, limit: int | None) -> Added:
        await self.accounts.begin(tenant, admin)
        note = "onboarded before, nothing done"
        if limit is not None and limit != tenant.overdraft:
            await admin.set_overdraft(self.settings.scope_of(tenant.id), limit)
            await self.registry.update_tenant(tenant.id, overdraft=limit)
            note = f"onboarded before; its overdraft limit is now {format_usd(limit)} USD"
        return Added(tenant=tenant.id, created=False, api_key=None, note=note)

    async def _freeze(self, tenant: Tenant) -> None:
        admin = self._control()
        for ledger in await self.accounts.ledgers(tenant.id, admin):
            if ledger.status == "ACTIVE":
                await admin.freeze(ledger)

    async def _ensure_ledger(self, tenant: Tenant) -> str:
        scope = self.settings.scope_of(tenant.id)
        admin = self._control()
        await admin.create_ledger(scope, allocated=tenant.budget, overdraft=tenant.overdraft)
        for ledger in await self.accounts.ledgers(tenant.id, admin):
            if (ledger.scope, ledger.unit) == (scope, UNIT) and ledger.allocated != tenant.budget:
                had = f"Cycles had a ledger of {format_usd(ledger.allocated)} USD for {tenant.id}"
                return f"onboarded; {had}, which was left as it is: see `tenants reset`"
        return f"onboarded with {format_usd(tenant.budget)} USD"

    async def _apply(self, wanted: Adjustment) -> int:
        """Ask the engine for it; microcents that remain."""
        return await self._control().fund(
            self.settings.scope_of(wanted.tenant),
            "CREDIT" if wanted.kind == "fund" else "RESET_SPENT",
            wanted.amount,
            wanted.idempotency_key,
        )

    async def _apply_once(self, wanted: Adjustment, *, again: bool) -> int | None:
        """Apply what has a reference, once for ever; None if it was done before.

        The row is written first, with the key under which the engine knows the request for 24 h, so that a
        run that was killed can be repeated. After that time nobody knows whether it was done, and it is
        refused: no credit is ever made twice. A ledger tells no single credits, so only a person can decide (`again`).
        """
        self._control()  # refuses before anything is written
        is_new = await self.registry.add_adjustment(wanted)
        standing = wanted if is_new else await self.registry.adjustment(wanted.reference)
        if standing is None or (standing.tenant, standing.amount) != (wanted.tenant, wanted.amount):
            detail = f"{wanted.reference} was asked for before, with another tenant or amount"
            raise TenantsError("reference_reused", f"{detail}: use another")
        if standing.done_at is not None:
            return None
        if not -WRONG_CLOCKS <= datetime.now(UTC) - standing.created_at <= ENGINE_REMEMBERS:
            if again:
                await self.registry.drop_adjustment(wanted.reference)
                return await self._apply_once(wanted, again=False)
            begun = f"{wanted.reference} was begun on {standing.created_at:%Y-%m-%d %H:%M} UTC and interrupted"
            advice = "look at the ledger, and if it was not done say --again"
            raise TenantsError("outcome_unknown", f"{begun}; Cycles cannot tell any more whether it did it: {advice}")
        try:
            remaining = await self._apply(standing)
        except AdminError as error:
            if is_new and error.changed_nothing:
                await self.registry.drop_adjustment(wanted.reference)
            raise
        await self.registry.finish_adjustment(replace(standing, done_at=datetime.now(UTC)))
        return remaining


@asynccontextmanager
async def onboarding(settings: Settings, registry: Registry | None = None) -> AsyncIterator[Onboarding]:
    """The verbs over this process's database, and over Cycles' control plane where the settings name it."""
    async with AsyncExitStack() as stack:
        if registry is None:
            registry = await stack.enter_async_context(open_registry(settings.database_url))
        admin = None
        if settings.cycles_admin_url and settings.cycles_admin_api_key:
            api = AdminApi(settings.cycles_admin_url, settings.cycles_admin_api_key)
            admin = await stack.enter_async_context(api)
        yield Onboarding(settings, registry, admin)


def _listed(tenant: Tenant) -> Listed:
    expires_at = tenant.cycles_key_expires_at
    return Listed(
        tenant=tenant.id,
        name=tenant.name,
        status=tenant.status,
        budget=format_usd(tenant.budget),
        onboarded=tenant.onboarded,
        key_expires_at=expires_at.isoformat() if expires_at else None,
    )


def check_id(tenant_id: str) -> None:
    """Raise TenantsError unless Cycles takes a tenant, and a ledger, of this ID."""
    if not _ID.fullmatch(tenant_id):
        rule = "3 to 64 of a-z, 0-9 and -, neither the first nor the last a -"
        raise TenantsError("invalid_id", f"{tenant_id!r} cannot be a tenant's ID: {rule}")


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= 200 or not name.isprintable() or not name.strip():
        raise TenantsError("invalid_name", "--name must be 1 to 200 printable characters")


def _check_same(tenant: Tenant, name: str, budget: int) -> None:
    if tenant.status == "closed":
        raise TenantsError("tenant_closed", f"Tenant {tenant.id} is closed, and its ID is not given again")
    if (tenant.name, tenant.budget) != (name, budget):
        begun = f"Tenant {tenant.id} was onboarded as {tenant.name!r} with {format_usd(tenant.budget)} USD"
        raise TenantsError("tenant_exists", f"{begun}: `tenants fund` adds to that, `tenants reset` begins anew")


def _usd(option: str, text: str) -> int:
    try:
        return parse_usd(text)
    except ValueError as error:
        raise TenantsError("invalid_amount", f"--{option}: {error}") from None


def _label(option: str, text: str | None) -> str:
    """A reference or period, or something unique for want of one."""
    if text is None:
        return str(uuid.uuid4())
    if not 1 <= len(text) <= 100 or not text.isprintable():
        raise TenantsError(f"invalid_{option}", f"--{option} must be 1 to 100 printable characters")
    return text


def _adjustment(reference: str, tenant: Tenant, kind: Literal["fund", "reset"], amount: int) -> Adjustment:
    return Adjustment(
        reference=reference,
        tenant=tenant.id,
        kind=kind,
        amount=amount,
        idempotency_key=str(uuid.uuid4()),
        created_at=datetime.now(UTC),
    )


def _held(ledgers: list[AdminLedger]) -> int:
    """Microcents held by live reservations, in the ledgers that calls are paid from."""
    return max((ledger.reserved for ledger in ledgers if ledger.unit == UNIT), default=0)
