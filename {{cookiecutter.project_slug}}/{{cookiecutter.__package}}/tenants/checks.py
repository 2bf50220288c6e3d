"""What operations on tenants share: their base, and checks of what operators enter. Checks raise Problem."""

import re
from collections.abc import Container
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from ..core.config import Settings
from ..core.money import parse_usd
from ..core.problems import Problem
from .admin_api import AdminApi
from .models import Tenant
from .registry import Registry

OPEN = ("active", "suspended")
ANY = (*OPEN, "closed")

# Cycles accepts a tenant `acme-`, but no ledger for it
_ID = re.compile(r"[a-z0-9][a-z0-9-]{1,62}[a-z0-9]", re.ASCII)
_PERIOD = re.compile(r"\d{4}(-\d\d(-\d\d)?|-W\d\d)?", re.ASCII)


@dataclass
class Operations:
    """Base of operations on tenants, in the registry and at Cycles."""

    settings: Settings
    registry: Registry
    admin: AdminApi


async def find_tenant(registry: Registry, tenant_id: str, *, statuses: Container[str] = OPEN) -> Tenant:
    """Return an onboarded tenant that has one of these statuses."""
    tenant = await registry.tenant(tenant_id)
    if tenant is None:
        raise Problem("unknown_tenant", f"There is no tenant {tenant_id!r}. See `tenants list`.")
    if not tenant.onboarded:
        raise Problem("not_onboarded", f"Onboarding {tenant_id} was interrupted. Add it again with the same answers.")
    if tenant.status not in statuses:
        advice = " Resume it first." if tenant.status == "suspended" else ""
        raise Problem(f"tenant_{tenant.status}", f"Tenant {tenant_id} is {tenant.status}.{advice}")
    return tenant


def check_id(tenant_id: str) -> None:
    """Refuse an ID that Cycles does not accept for a tenant and its ledger."""
    if not _ID.fullmatch(tenant_id):
        rule = "Use 3 to 64 of a-z, 0-9 and -, and neither begin nor end with -."
        raise Problem("invalid_id", f"{tenant_id!r} is not a valid tenant ID. {rule}")


def check_period(text: str) -> None:
    """Refuse a period that is not a year, month, week (ISO 8601) or day of the calendar."""
    with suppress(ValueError):
        if _PERIOD.fullmatch(text) and date.fromisoformat(text if "W" in text else f"{text}-01-01"[:10]):
            return
    raise Problem("usage", f"{text!r} is not a period. Use a form like 2026, 2026-12, 2026-W52 or 2026-12-31.")


def check_text(what: str, text: str, max_length: int) -> str:
    """Return a name or label of printable characters."""
    if not 1 <= len(text) <= max_length or not text.isprintable() or not text.strip():
        raise Problem(f"invalid_{what}", f"The {what} must be 1 to {max_length} printable characters.")
    return text


def microcents(what: str, usd: str) -> int:
    """Return an amount of USD text in microcents."""
    try:
        return parse_usd(usd)
    except ValueError as error:
        raise Problem("invalid_amount", f"Invalid {what}: {error}") from None
