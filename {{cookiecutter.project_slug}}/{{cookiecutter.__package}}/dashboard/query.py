"""What operators ask of the table of tenants, and its rows."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, Field, StringConstraints

from ..calls.models import Balance
from ..tenants.models import Tenant

Sort = Literal["name", "percent", "spent", "reserved", "remaining", "burn", "runs_out"]
BURN_HOURS = 24
"""Burn rates are an average over so long."""
LONGEST_HOURS = 365 * 24
"""Budgets that last longer show no end."""


class TenantQuery(BaseModel, frozen=True):
    """Parameters of the table of tenants; `q` is part of a name or ID."""

    q: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200, pattern=r"^[^\x00-\x1f]*$")] = ""
    sort: Sort = "percent"
    order: Literal["asc", "desc"] = "asc"
    show: Literal["all", "attention"] = "all"
    page: Annotated[int, Field(ge=1, le=100_000)] = 1

    def address(self, **changes: object) -> str:
        """Return the query string of the first page with some parameters changed."""
        query = self.model_copy(update={"page": 1, **changes})
        return "?" + urlencode(query.model_dump(exclude_defaults=True))


@dataclass(slots=True)
class TenantBudget:
    """A tenant with its widest ledger, which bounds all others, and its burn rate in microcents per hour.

    `trouble` is the code of the problem that kept the balance from being refreshed.
    """

    tenant: Tenant
    balance: Balance | None
    burn: int
    trouble: str | None = None

    @property
    def runs_out(self) -> datetime | None:
        """When nothing remains at this burn rate."""
        if not self.balance or not 0 < self.balance.remaining < self.burn * LONGEST_HOURS:
            return None
        return this_minute() + timedelta(hours=self.balance.remaining / self.burn)


def this_minute() -> datetime:
    """Return when this minute began: pages that poll change only when figures do."""
    return datetime.now(UTC).replace(second=0, microsecond=0)
