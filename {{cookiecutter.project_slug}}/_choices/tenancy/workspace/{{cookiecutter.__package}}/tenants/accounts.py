"""What the tenants have at Cycles beside their ledgers: one Cycles tenant and one key, both made by its operator."""

# ruff: noqa: ARG002  (the same signatures whatever the tenancy, and this one needs less)

from typing import NoReturn

from ..core.config import Settings
from ..core.errors import NotOffered
from ..core.money import UNIT
from .admin_api import AdminApi, AdminError, AdminLedger
from .findings import Finding, about_expiry
from .records import Tenant
from .registry import Registry
from .tenancy import owner_of

NEW_KEY = "make a new one at Cycles, put it in CYCLES_API_KEY, restart, and revoke the old one 15 minutes later"


class Accounts:
    """Raises TenantsError (AdminError) in an operator's words."""

    def __init__(self, settings: Settings, _registry: Registry) -> None:
        self._settings = settings

    async def begin(self, tenant: Tenant, admin: AdminApi) -> None:
        """A workspace needs nothing before its ledger."""

    async def ledgers(self, tenant: str, admin: AdminApi) -> list[AdminLedger]:
        """All ledgers of a tenant, in every unit."""
        found = await admin.ledgers(self._settings.cycles_tenant, self._settings.scope_of(tenant))
        return [ledger for ledger in found if owner_of(ledger.scope) == tenant]  # not those of `acme-2` for `acme`

    async def rotate(self, tenant: Tenant, admin: AdminApi, *, now: bool) -> NoReturn:
        """Refused: no key is a tenant's own."""
        raise NotOffered("one_key", f"All tenants share one Cycles key, which is a setting: {NEW_KEY}")

    async def retire_keys(self, admin: AdminApi) -> None:
        """Nothing was replaced by us."""

    async def rewrap(self) -> NoReturn:
        """Refused: no key is in the database."""
        raise NotOffered("one_key", "The database holds no Cycles key: the one there is is CYCLES_API_KEY")

    async def look_after(self, tenants: list[Tenant], admin: AdminApi | None) -> list[str]:
        """Notes for people, given admin access, on the one key."""
        return [f"{found.message}: {found.remedy}" for found in await self._examine_key(admin)] if admin else []

    async def before_close(self, tenant: Tenant) -> None:
        """A tenant is to be closed: nothing at Cycles is to go, for the key is the others' too."""

    async def after_close(self, tenant: Tenant, admin: AdminApi, held: int, *, force: bool) -> str:
        """A tenant is closed, its ledgers are frozen: a note for people."""
        return "its budget is frozen" + ("; calls in flight still settle" if held else "")

    async def examine(self, admin: AdminApi) -> list[Finding]:
        """For `doctor`, what concerns all tenants: the one key, and a ledger above them all."""
        return [*await self._examine_key(admin), *await self._examine_above(admin)]

    async def examine_tenant(self, tenant: Tenant, admin: AdminApi | None) -> list[Finding]:
        """For `doctor`: a workspace has nothing but its ledgers."""
        return []

    async def _examine_key(self, admin: AdminApi) -> list[Finding]:
        tenant, key = self._settings.cycles_tenant, self._settings.cycles_api_key
        secret = key.get_secret_value() if key else ""
        try:
            keys = await admin.live_keys(tenant)
        except AdminError as error:
            return [Finding("fault", "tenancy", f"CYCLES_API_KEY cannot be looked up: {error}", "see CYCLES_TENANT")]
        for found in keys:
            if found.key_prefix and secret.startswith(found.key_prefix):
                return about_expiry("tenancy", "CYCLES_API_KEY", found.expires_at, NEW_KEY)
        return [Finding("fault", "tenancy", f"CYCLES_API_KEY is no live key of {tenant}", NEW_KEY)]

    async def _examine_above(self, admin: AdminApi) -> list[Finding]:
        """A ledger above the tenants refuses all of their calls when it is spent, and none of them is told why."""
        found = await admin.ledgers(self._settings.cycles_tenant)
        return [
            Finding("fault", "tenancy", f"{ledger.scope}, above all tenants, refuses every call", "fund it at Cycles")
            for ledger in found
            if owner_of(ledger.scope) is None
            and ledger.unit == UNIT
            and (ledger.status != "ACTIVE" or ledger.is_over_limit or ledger.remaining <= 0)
        ]
