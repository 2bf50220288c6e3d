"""What operators ask of the table of tenants, and the rows that answer it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, get_args

from ..calls.models import Balance
from ..tenants.records import Tenant

Sort = Literal["name", "percent", "spent", "reserved", "remaining", "burn", "runs_out"]
SORTS: tuple[Sort, ...] = get_args(Sort)
FIRST_SORT: Sort = "percent"
BURN_WINDOW = timedelta(hours=24)
SHORTEST_WINDOW = timedelta(minutes=10)
"""Burn rates are an average over at least this long: the first call of a tenant says little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantQuery:
    """A page of the table of tenants; pages count from 1.

    `text` is part of a name or ID. `hold` is what a typical call holds, in microcents; `now` is where the window of
    burn rates ends.
    """

    text: str = ""
    sort: Sort = FIRST_SORT
    descending: bool = False
    attention: bool = False
    page: int = 1
    hold: int
    now: datetime


class TenantBudget(NamedTuple):
    """A tenant, its stored balance if any, and its burn rate in microcents per hour."""

    tenant: Tenant
    balance: Balance | None
    burn: int
