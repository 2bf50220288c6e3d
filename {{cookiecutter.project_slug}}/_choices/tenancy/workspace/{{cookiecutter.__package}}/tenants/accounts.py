"""Account at Cycles: one Cycles tenant and one key for all tenants, both created by its operator."""

# ruff: noqa: ARG002  (same signatures as with other tenancies)

from typing import NoReturn

from ..core.money import UNIT
from ..core.problems import Problem
from .admin_api import AdminError
from .checks import Operations
from .findings import Finding, expiry_findings
from .models import Tenant
from .tenancy import CyclesKeys, owner_of

NEW_KEY = "create a key at Cycles, set CYCLES_API_KEY, restart, and revoke the old key 15 minutes later"


class Accounts(Operations):
    """Every method raises Problem, in an operator's words."""

    async def prepare(self, tenant: Tenant) -> None:
        """Do nothing: a workspace needs nothing before its ledger."""

    async def replace_key(self, tenant: Tenant, *, now: bool) -> NoReturn:
        """Refuse: no tenant has a key of its own."""
        raise Problem("not_offered", f"All tenants share the key in CYCLES_API_KEY. To rotate it, {NEW_KEY}.")

    async def tend_keys(self) -> list[Finding]:
        """Return what is wrong with the shared key, or will be soon."""
        tenant, secret = self.settings.cycles_tenant, CyclesKeys(self.settings).open("")
        for found in await self.admin.live_keys(tenant):
            if found.key_prefix and secret.startswith(found.key_prefix):
                return expiry_findings("tenancy", "CYCLES_API_KEY", found.expires_at, NEW_KEY)
        return [Finding("fault", "tenancy", f"CYCLES_API_KEY is no live key of {tenant}", NEW_KEY)]

    async def examine(self) -> list[Finding]:
        """Return doctor's findings that concern all tenants: on the key, and on ledgers above them."""
        try:
            of_key = await self.tend_keys()
        except AdminError as error:
            message = f"CYCLES_API_KEY cannot be checked: {error.message}"
            of_key = [Finding("fault", "tenancy", message, "see CYCLES_TENANT")]
        return [*of_key, *await self._examine_above()]

    async def examine_tenant(self, tenant: Tenant, *, at_cycles: bool) -> list[Finding]:
        """Return doctor's findings on a tenant's account: none, it has only ledgers."""
        return []

    async def _examine_above(self) -> list[Finding]:
        """Return a fault for each spent ledger above the tenants: it refuses every call of all of them."""
        found = await self.admin.ledgers(f"tenant:{self.settings.cycles_tenant}")
        return [
            Finding("fault", "tenancy", f"{ledger.scope}, above all tenants, refuses every call", "fund it at Cycles")
            for ledger in found
            if owner_of(ledger.scope) is None
            and ledger.unit == UNIT
            and (ledger.status != "ACTIVE" or ledger.is_over_limit or ledger.remaining <= 0)
        ]
