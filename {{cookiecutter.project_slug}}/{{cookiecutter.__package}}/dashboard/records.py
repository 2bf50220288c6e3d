"""What the pages read from the database, as plain values: the same for every database layer. Times are aware UTC."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, get_args

from ..budget.balances import Amounts
from ..tenants.models import Tenant

Sort = Literal["name", "left", "spent", "reserved", "remaining", "burn", "runs_out"]
SORTS: tuple[Sort, ...] = get_args(Sort)
FIRST_SORT: Sort = "left"
SHORTEST_RATE_S = 600
"""A burn rate is told as if over this long at least: the first call of a tenant says little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing(Amounts):
    """How a tenant's widest ledger stood when a process last heard of it (`at`); amounts in microcents.

    `mark_at` (seconds since 1970) and `mark_used` say since when, and from which spend on, its burn rate counts;
    `next_at` and `next_used` take their place in time, so that the rate tells of the last 12 to 24 hours. `alerted` is
    the spend of the highest threshold that an alert has told of, `claimed_at` when a process last took it upon itself
    to ask Cycles; the store alone changes these two (`move_alert`, `claim`).
    """

    tenant: str
    at: datetime
    mark_at: int
    mark_used: int
    next_at: int
    next_used: int
    alerted: int = 0
    claimed_at: int = 0

    def spend_at(self, per_cent: int) -> int:
        """The spend that crosses a threshold."""
        return self.allocated * per_cent // 100


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyBalance:
    """How a tenant's widest ledger stood at the end of an hour (`hour` counts from 1970), as far as was heard."""

    tenant: str
    hour: int
    allocated: int
    remaining: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an operator asked of the table of tenants. `query` is part of a name or an ID; pages count from 1."""

    query: str = ""
    sort: Sort = FIRST_SORT
    descending: bool = False
    attention: bool = False
    page: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoning:
    """What the database needs to tell who needs attention and how fast money goes.

    `now` is seconds since 1970; `call` what the hold of a usual call takes, in microcents.
    """

    now: int
    call: int


class TenantStanding(NamedTuple):
    tenant: Tenant
    standing: Standing | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """What an operator did to a tenant. `after` is None while it is not known what became of it."""

    id: str
    at: datetime
    operator: str
    action: str
    tenant: str
    before: str
    after: str | None = None
