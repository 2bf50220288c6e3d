"""What operators ask of the table of tenants, and its rows."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field

from ..calls.models import Balance
from ..calls.query import Query, Text
from ..core.problems import WANT_OF_MONEY
from ..tenants.models import Tenant

Sort = Literal["name", "percent", "spent", "reserved", "remaining", "burn", "runs_out"]
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SPANS = {"24h": (24, HOUR), "7d": (7, DAY), "30d": (30, DAY)}
"""Spend over time: the number of bars, and what one stands for."""
SHARES = ("model", "route", "end_user")
"""A tenant's spend is shown by each."""
TOP = 6
"""Tenants, models, routes or end users that are listed by name. The others are summed."""
FEWEST_CALLS = 10
"""Paid calls of the last 24 hours that a forecast needs."""
FEWEST_REFUSED = 5
"""Refused calls of the last hour that block a tenant, whatever its balance, unless as many were served."""
BLOCKING = (*WANT_OF_MONEY, "tenant_suspended", "budget_frozen", "budget_closed", "budget_misconfigured")
"""Outcomes of calls that the tenant's own budget refused."""


class TenantQuery(Query, frozen=True):
    """Parameters of the table of tenants, and of spend over time; `q` is part of a name or ID."""

    q: Text = ""
    sort: Sort = "percent"
    order: Literal["asc", "desc"] = "asc"
    show: Literal["all", "attention", "blocked"] = "all"
    span: Literal["24h", "7d", "30d"] = "30d"
    by: Literal["tenant", "model"] = "tenant"
    page: Annotated[int, Field(ge=1, le=100_000)] = 1

    def address(self, **changes: object) -> str:
        """Return the query string of the first page with some parameters changed."""
        return super().address(**{"page": 1, **changes})

    def bars(self, now: datetime) -> list[datetime]:
        """Return when each bar of spend over time begins. The last one is of the current hour or day."""
        bars, width = SPANS[self.span]
        last = now - (now - datetime.min.replace(tzinfo=UTC)) % width
        return [last - width * number for number in reversed(range(bars))]


@dataclass(slots=True)
class TenantBudget:
    """A tenant with its widest ledger, which bounds all others, and what became of its calls.

    `recent` is the spend of the last 24 hours in microcents, by `paid` calls. If calls of the last hour block the
    tenant, `refused` of `asked` were refused, otherwise `refused` is 0. `trouble` is the code of the problem that
    kept the balance from being refreshed.
    """

    tenant: Tenant
    balance: Balance | None
    recent: int
    paid: int = 0
    refused: int = 0
    asked: int = 0
    trouble: str | None = field(default=None, kw_only=True)

    @property
    def burn(self) -> int:
        """Microcents per hour: the average of the last 24, or since the tenant was added. 0 if too few calls tell."""
        hours = min(24.0, max(1.0, (this_minute() - self.tenant.created_at) / HOUR))
        return int(self.recent / hours) if self.paid >= FEWEST_CALLS else 0

    @property
    def lasts(self) -> timedelta:
        """How long the balance lasts at the burn rate, at most a year."""
        remaining = self.balance.remaining if self.balance else 0
        return HOUR * min(365 * 24, remaining / max(1, self.burn))


def this_minute() -> datetime:
    """Return when this minute began: pages that poll change only when figures do."""
    return datetime.now(UTC).replace(second=0, microsecond=0)
