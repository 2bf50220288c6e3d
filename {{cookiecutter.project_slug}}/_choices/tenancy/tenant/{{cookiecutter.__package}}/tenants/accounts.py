"""Accounts at Cycles: each tenant has a Cycles tenant of its own, and a key that is rotated."""

from datetime import UTC, datetime

from ..core.problems import Problem
from .admin_api import RETIRE_AFTER, AdminError
from .checks import Operations
from .findings import Finding, expiry_findings
from .models import Tenant
from .tenancy import CyclesKeys


class Accounts(Operations):
    """Every method raises Problem, in an operator's words."""

    async def prepare(self, tenant: Tenant) -> None:
        """Create what is missing before the ledger. Revoke keys left by interrupted runs."""
        if not tenant.onboarded:
            await self.admin.ensure_tenant(tenant.id, tenant.name)
        if not tenant.sealed_key:
            await self._mint(tenant)
        await self._retire(tenant.id)

    async def replace_key(self, tenant: Tenant, *, now: bool) -> str:
        """Replace the Cycles key. Return a note."""
        # first: if this run is killed after creating a key, that key is revoked too
        tenant.retire_at = datetime.now(UTC) + RETIRE_AFTER
        await self.registry.update_tenant(tenant.id, retire_at=tenant.retire_at)
        if not await self._mint(tenant):
            raise Problem("rotation_overtaken", f"Another run is changing the key of {tenant.id}. Try again.")
        if now:
            await self.registry.update_tenant(tenant.id, retire_at=datetime.now(UTC))
            await self._retire(tenant.id)
            return "the new key is in use, the old one is revoked"
        return f"the new key is in use; housekeeping revokes the old one after {tenant.retire_at:%H:%M} UTC"

    async def tend_keys(self) -> list[Finding]:
        """Revoke the keys of rotated and closed tenants whose grace period has ended. Needs admin access."""
        for tenant in await self.registry.tenants_to_retire(datetime.now(UTC)):
            await self._retire(tenant.id)
        return []

    async def examine(self) -> list[Finding]:
        """Return doctor's findings that concern all tenants: none, they share nothing."""
        return []

    async def examine_tenant(self, tenant: Tenant, *, at_cycles: bool) -> list[Finding]:
        """Return doctor's findings on the tenant's key, here and, if asked, at Cycles. Raise AdminError."""
        check, remedy = f"tenant {tenant.id}", f"tenants rotate {tenant.id}"
        findings = expiry_findings(check, "its Cycles key", tenant.cycles_key_expires_at, remedy)
        try:
            CyclesKeys(self.settings).open(tenant.sealed_key)
        except Problem:
            advice = "add the secret that it was encrypted with to TENANT_KEYS_SECRET"
            findings.append(Finding("fault", check, "its Cycles key cannot be decrypted", advice))
        if tenant.retire_at and tenant.retire_at < datetime.now(UTC) - RETIRE_AFTER:
            findings.append(Finding("warning", check, "a rotated Cycles key is not revoked yet", "housekeeping --once"))
        if at_cycles and tenant.cycles_key_id not in {key.key_id for key in await self.admin.live_keys(tenant.id)}:
            findings.append(Finding("fault", check, "its Cycles key was revoked", remedy))
        return findings

    async def _mint(self, tenant: Tenant) -> bool:
        """Create a Cycles key and store it. Return False if another run has changed the key meanwhile."""
        key = await self.admin.mint_key(tenant.id, tenant.cycles_key_name)
        if key.key_secret is None:
            raise AdminError("admin_failed", 200, "Cycles did not return the secret of the new key.")
        given = {"cycles_key_id": tenant.cycles_key_id, "retire_at": tenant.retire_at}
        sealed = CyclesKeys(self.settings).seal(key.key_secret.get_secret_value())
        stored = await self.registry.update_tenant(
            tenant.id, given, sealed_key=sealed, cycles_key_id=key.key_id, cycles_key_expires_at=key.expires_at
        )
        if not stored:
            await self.admin.revoke_key(key.key_id, "another run was faster")
        return stored

    async def _retire(self, tenant_id: str) -> None:
        """Revoke the tenant's keys of this registry except the one in use. Does nothing during a grace period."""
        keys = await self.admin.live_keys(tenant_id)
        # read after the keys: a rotation that has created one of them has set `retire_at` before
        tenant = await self.registry.tenant(tenant_id)
        if tenant is None or (tenant.retire_at and tenant.retire_at > datetime.now(UTC)):
            return
        in_use = None if tenant.status == "closed" else tenant.cycles_key_id
        for key in keys:
            if key.name == tenant.cycles_key_name and key.key_id != in_use:
                await self.admin.revoke_key(key.key_id, "no longer used")
        if tenant.retire_at:
            await self.registry.update_tenant(tenant_id, given={"retire_at": tenant.retire_at}, retire_at=None)
