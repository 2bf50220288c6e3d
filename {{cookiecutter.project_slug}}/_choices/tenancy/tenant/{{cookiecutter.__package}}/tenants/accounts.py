"""What each tenant has at Cycles beside its ledgers: a Cycles tenant, and a key that is replaced in time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ..core.config import Settings
from ..core.errors import TenantsError
from ..core.money import format_usd
from .admin_api import AdminApi, AdminError, AdminLedger
from .findings import EXPIRES_SOON, Finding, about_expiry
from .records import Tenant
from .registry import Registry
from .vault import Vault

RETIRE_AFTER = timedelta(minutes=15)
"""When no hold made with a replaced Cycles key can live any more.

A hold of 60 s with the engine's ten extensions lives 11 minutes, and has 60 s of grace for its commit; the
rest is for the serving processes to learn of the new key (clients.KEY_CACHED_S).
"""


class Accounts:
    """Raises TenantsError (AdminError, VaultError) in an operator's words."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._registry = registry
        self._vault = Vault(settings.tenant_keys_secret)

    async def begin(self, tenant: Tenant, admin: AdminApi) -> None:
        """Make what a tenant needs before its ledger, as far as it is not there; revoke what is left over."""
        if not tenant.onboarded:
            await admin.ensure_tenant(tenant.id, tenant.name)
        if not tenant.sealed_key:
            await self._mint(tenant, admin)
        await self._retire(tenant.id, admin, "left by an interrupted onboarding")

    async def ledgers(self, tenant: str, admin: AdminApi) -> list[AdminLedger]:
        """All ledgers of a tenant, in every unit."""
        return await admin.ledgers(tenant)

    async def rotate(self, tenant: Tenant, admin: AdminApi, *, now: bool) -> str:
        """Replace the Cycles key; a note for people."""
        # first, so that the key of a run that is killed after minting it is revoked in time too
        retire_at = datetime.now(UTC) + RETIRE_AFTER
        await self._registry.update_tenant(tenant.id, retire_at=retire_at)
        if not await self._mint(replace(tenant, retire_at=retire_at), admin):
            raise TenantsError("rotation_overtaken", f"Another run changes the key of {tenant.id}: try again")
        if now:
            await self._registry.update_tenant(tenant.id, retire_at=datetime.now(UTC))
            await self._retire(tenant.id, admin, "rotated")
            return "the new key is in use, the old one revoked"
        who = "the app, if it has admin access, or else the next `tenants list` or `reset`"
        return f"the new key is in use; the old one is revoked after {retire_at:%H:%M} UTC by {who}"

    async def retire_keys(self, admin: AdminApi) -> None:
        """Revoke the replaced keys whose time has come."""
        for tenant in await self._registry.tenants_to_retire(datetime.now(UTC)):
            await self._retire(tenant.id, admin, "rotated")

    async def look_after(self, tenants: list[Tenant], admin: AdminApi | None) -> list[str]:
        """Revoke, given admin access, the replaced keys whose time has come. Notes for people, on old keys too."""
        notes = []
        try:
            if admin:
                await self.retire_keys(admin)
        except AdminError as error:
            notes.append(f"replaced keys are not revoked yet: {error}")
        soon = datetime.now(UTC) + EXPIRES_SOON
        for tenant in tenants:
            expiry = tenant.cycles_key_expires_at
            if tenant.status != "closed" and expiry and expiry < soon:
                notes.append(f"the Cycles key of {tenant.id} expires on {expiry:%Y-%m-%d}: `tenants rotate` it")
        return notes

    async def before_close(self, tenant: Tenant) -> None:
        """The tenant is to be closed: have the keys revoked in time, also if this run is killed."""
        await self._registry.update_tenant(tenant.id, retire_at=datetime.now(UTC) + RETIRE_AFTER)

    async def after_close(self, tenant: Tenant, admin: AdminApi, held: int, *, force: bool) -> str:
        """The tenant is closed, its ledgers frozen, `held` microcents held: revoke the keys; a note for people."""
        if held and not force:
            return "calls in flight settle, `tenants list` revokes the keys after that"
        await self._registry.update_tenant(tenant.id, retire_at=datetime.now(UTC))
        await self._retire(tenant.id, admin, "closed")
        lost = f"; {format_usd(held)} USD held by calls in flight cannot be charged" if held else ""
        return "the Cycles keys are revoked" + lost

    async def rewrap(self) -> list[str]:
        """Seal every Cycles key anew with the newest of TENANT_KEYS_SECRET; the IDs of their tenants."""
        sealed = [tenant for tenant in await self._registry.tenants() if tenant.sealed_key]
        for tenant in sealed:
            await self._registry.update_tenant(tenant.id, sealed_key=self._vault.rewrap(tenant.sealed_key))
        return [tenant.id for tenant in sealed]

    async def examine(self, admin: AdminApi) -> list[Finding]:  # noqa: ARG002
        """For `doctor`, what concerns all tenants: they share nothing."""
        return []

    async def examine_tenant(self, tenant: Tenant, admin: AdminApi | None) -> list[Finding]:
        """For `doctor`: the tenant's key, here and, given admin access, at Cycles. Raises AdminError."""
        check, remedy = f"tenant {tenant.id}", f"tenants rotate {tenant.id}"
        findings = about_expiry(check, "its Cycles key", tenant.cycles_key_expires_at, remedy)
        try:
            self._vault.open(tenant.sealed_key)
        except TenantsError as error:
            findings.append(Finding("fault", check, "its Cycles key cannot be read", str(error)))
        if tenant.retire_at and tenant.retire_at < datetime.now(UTC) - RETIRE_AFTER:
            findings.append(Finding("warning", check, "a replaced Cycles key is live still", "tenants list"))
        if admin and tenant.cycles_key_id not in {key.key_id for key in await admin.live_keys(tenant.id)}:
            findings.append(Finding("fault", check, "its Cycles key was revoked", remedy))
        return findings

    async def _mint(self, tenant: Tenant, admin: AdminApi) -> bool:
        """Make a Cycles key and use it from now on. False if another run has changed the key meanwhile."""
        key = await admin.mint_key(tenant.id, tenant.cycles_key_name)
        if key.key_secret is None:
            raise AdminError("admin_failed", 200, "Cycles told no secret of the key that it made")
        stored = await self._registry.update_tenant(
            tenant.id,
            given={"cycles_key_id": tenant.cycles_key_id, "retire_at": tenant.retire_at},
            sealed_key=self._vault.seal(key.key_secret.get_secret_value()),
            cycles_key_id=key.key_id,
            cycles_key_expires_at=key.expires_at,
        )
        if not stored:
            await admin.revoke_key(key.key_id, "another run was quicker")
        return stored

    async def _retire(self, tenant_id: str, admin: AdminApi, reason: str) -> None:
        """Revoke the keys that this registry made for a tenant, but the one in use, unless it is too early."""
        keys = await admin.live_keys(tenant_id)
        # read after them: a rotation that has minted one of them has put `retire_at` off before
        tenant = await self._registry.tenant(tenant_id)
        if tenant is None or (tenant.retire_at and tenant.retire_at > datetime.now(UTC)):
            return
        in_use = None if tenant.status == "closed" else tenant.cycles_key_id
        for key in keys:
            if key.name == tenant.cycles_key_name and key.key_id != in_use:
                await admin.revoke_key(key.key_id, reason)
        if tenant.retire_at:
            await self._registry.update_tenant(tenant_id, given={"retire_at": tenant.retire_at}, retire_at=None)
