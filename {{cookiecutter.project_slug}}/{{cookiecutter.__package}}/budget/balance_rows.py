"""Cached balances as rows of the table `balances`."""

import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from ..calls.models import Balance
from .balances import Balances


def row_of(balances: Balances, tenant: str) -> Balance | None:
    """Return the tenant's widest ledger, None if nothing is known."""
    known = balances.known(tenant)
    if known is None or (ledger := known.widest) is None:
        return None
    columns = asdict(ledger)
    at = datetime.now(UTC) - timedelta(seconds=time.monotonic() - columns.pop("asked_at"))
    return Balance(tenant_id=tenant, at=at, **columns)


def changed_rows(balances: Balances) -> list[Balance]:
    """Return the widest ledgers of the tenants whose balances changed since the last call."""
    return [row for tenant in balances.take_changed() if (row := row_of(balances, tenant))]
