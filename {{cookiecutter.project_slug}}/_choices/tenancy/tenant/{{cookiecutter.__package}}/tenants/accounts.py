"""Accounts at Cycles: each tenant has a Cycles tenant of its own, and a key that is rotated."""

from datetime import UTC, datetime, timedelta

from ..core.config import Settings
from ..core.money import format_usd
from ..core.problems import Problem
from .admin_api import AdminApi, AdminError, AdminLedger
from .findings import Finding, expiry_findings
from .models import Tenant
from .registry import Registry
from .vault import Vault

RETIRE_AFTER = timedelta(minutes=15)
"""Grace period of a rotated key, after which it has no live hold.

A hold of 60 s with ten extensions lives 11 minutes, plus 60 s to commit it. In the rest, all processes read the new key
(client.KEY_CACHED_S).
"""


class Accounts:
    """Every method raises Problem, in an operator's words."""

    def __init__(self, settings: Settings, registry: Registry, admin: AdminApi) -> None:
        self._registry = registry
        self._admin = admin
        self._vault = Vault(settings.tenant_keys_secret)

    async def begin(self, tenant: Tenant) -> None:
        """Create what is missing before the ledger. Revoke keys left by interrupted runs."""
        if not tenant.onboarded:
            await self._admin.ensure_tenant(tenant.id, tenant.name)
        if not tenant.sealed_key:
            await self._mint(tenant)
        await self._retire(tenant.id, "left by an interrupted onboarding")

    async def ledgers(self, tenant: str) -> list[AdminLedger]:
        """Return a tenant's ledgers, in every unit."""
        return await self._admin.ledgers(tenant)

    async def rotate(self, tenant: Tenant, *, now: bool) -> str:
        """Replace the Cycles key. Return a note."""
        # first: if this run is killed after creating a key, that key is revoked too
        tenant.retire_at = datetime.now(UTC) + RETIRE_AFTER
        await self._registry.update_tenant(tenant.id, retire_at=tenant.retire_at)
        if not await self._mint(tenant):
            raise Problem("rotation_overtaken", f"Another run is changing the key of {tenant.id}. Try again.")
        if now:
            await self._retire_now(tenant, "rotated")
            return "the new key is in use, the old one is revoked"
        who = "the app if it has admin access, otherwise by the next `tenants list` or `tenants reset`"
        return f"the new key is in use; the old one is revoked after {tenant.retire_at:%H:%M} UTC by {who}"

    async def retire_keys(self) -> None:
        """Revoke rotated keys whose grace period has ended."""
        for tenant in await self._registry.tenants_to_retire(datetime.now(UTC)):
            await self._retire(tenant.id, "rotated")

    async def before_close(self, tenant: Tenant) -> None:
        """Schedule the keys to be revoked, in case this run is killed after closing the tenant."""
        await self._registry.update_tenant(tenant.id, retire_at=datetime.now(UTC) + RETIRE_AFTER)

    async def after_close(self, tenant: Tenant, held: int, *, force: bool) -> str:
        """Revoke the keys of a closed tenant, whose frozen ledgers hold `held` microcents. Return a note."""
        if held and not force:
            return "calls in flight still settle, then `tenants list` revokes the keys"
        await self._retire_now(tenant, "closed")
        lost = f"; ${format_usd(held)} held by calls in flight cannot be charged" if held else ""
        return "the Cycles keys are revoked" + lost

    async def rewrap(self) -> list[str]:
        """Encrypt all keys with the newest secret. Return the IDs of their tenants."""
        sealed = [tenant for tenant in await self._registry.tenants() if tenant.sealed_key]
        for tenant in sealed:
            given = {"sealed_key": tenant.sealed_key}  # unless it was rotated meanwhile
            await self._registry.update_tenant(tenant.id, given, sealed_key=self._vault.rewrap(tenant.sealed_key))
        return [tenant.id for tenant in sealed]

    async def examine(self) -> list[Finding]:
        """Return doctor's findings that concern all tenants: none, they share nothing."""
        return []

    async def examine_tenant(self, tenant: Tenant, *, at_cycles: bool) -> list[Finding]:
        """Return doctor's findings on the tenant's key, here and, if asked, at Cycles. Raises AdminError."""
        check, remedy = f"tenant {tenant.id}", f"tenants rotate {tenant.id}"
        findings = expiry_findings(check, "its Cycles key", tenant.cycles_key_expires_at, remedy)
        try:
            self._vault.open(tenant.sealed_key)
        except Problem as problem:
            findings.append(Finding("fault", check, "its Cycles key cannot be decrypted", problem.message))
        if tenant.retire_at and tenant.retire_at < datetime.now(UTC) - RETIRE_AFTER:
            findings.append(Finding("warning", check, "a rotated Cycles key is not revoked yet", "tenants list"))
        if at_cycles and tenant.cycles_key_id not in {key.key_id for key in await self._admin.live_keys(tenant.id)}:
            findings.append(Finding("fault", check, "its Cycles key was revoked", remedy))
        return findings

    async def _mint(self, tenant: Tenant) -> bool:
        """Create a Cycles key and store it. Return False if another run has changed the key meanwhile."""
        key = await self._admin.mint_key(tenant.id, tenant.cycles_key_name)
        if key.key_secret is None:
            raise AdminError("admin_failed", 200, "Cycles did not return the secret of the new key.")
        stored = await self._registry.update_tenant(
            tenant.id,
            given={"cycles_key_id": tenant.cycles_key_id, "retire_at": tenant.retire_at},
            sealed_key=self._vault.seal(key.key_secret.get_secret_value()),
            cycles_key_id=key.key_id,
            cycles_key_expires_at=key.expires_at,
        )
        if not stored:
            await self._admin.revoke_key(key.key_id, "another run was faster")
        return stored

    async def _retire_now(self, tenant: Tenant, reason: str) -> None:
        await self._registry.update_tenant(tenant.id, retire_at=datetime.now(UTC))
        await self._retire(tenant.id, reason)

    async def _retire(self, tenant_id: str, reason: str) -> None:
        """Revoke the tenant's keys of this registry except the one in use. Does nothing during a grace period."""
        keys = await self._admin.live_keys(tenant_id)
        # read after the keys: a rotation that has created one of them has set `retire_at` before
        tenant = await self._registry.tenant(tenant_id)
        if tenant is None or (tenant.retire_at and tenant.retire_at > datetime.now(UTC)):
            return
        in_use = None if tenant.status == "closed" else tenant.cycles_key_id
        for key in keys:
            if key.name == tenant.cycles_key_name and key.key_id != in_use:
                await self._admin.revoke_key(key.key_id, reason)
        if tenant.retire_at:
            await self._registry.update_tenant(tenant_id, given={"retire_at": tenant.retire_at}, retire_at=None)
