"""The arithmetic of a ledger: pure functions, one a line of the table in the Cycles facts (section 4).

Amounts are integers of the ledger's unit (USD_MICROCENTS: 1 USD = 10^8). An operation touches every ledger along
the path of a subject, root first, and either changes all of them or raises Refused and changes none.

    operation                            reserved  remaining  spent  debt
    hold e                                  +e        -e
    give back e (release, expiry)           -e        +e
    commit a <= e                           -e      +(e-a)     +a
    commit e+d, of which c can be charged   -e        -c      +e+f  +(c-f)
    event d, of which c can be charged                -c       +f   +(c-f)

f is what a ledger can fund itself; only ALLOW_WITH_OVERDRAFT, up to overdraft_limit, lets c exceed it.
"""

from dataclasses import dataclass, field, replace
from typing import Any


class Refused(Exception):
    """An error answer: Cycles error code, message, HTTP status, and the details if the server gives any."""

    def __init__(self, code: str, message: str, status: int = 409, details: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.details = code, message, status, details


@dataclass(frozen=True)
class Ledger:
    """The budget of one scope in one unit. `remaining` follows from the rest, and may be negative."""

    tenant_id: str
    scope: str
    unit: str
    allocated: int
    reserved: int = 0
    spent: int = 0
    debt: int = 0
    overdraft_limit: int = 0
    is_over_limit: bool = False
    status: str = "ACTIVE"
    caps: dict[str, Any] | None = None
    about: dict[str, Any] = field(
        default_factory=dict
    )  # what only the admin plane shows: id, times, policies

    @property
    def remaining(self) -> int:
        return self.allocated - self.spent - self.reserved - self.debt


def check_open(path: list[Ledger]) -> list[Ledger]:
    for each in path:
        if each.status != "ACTIVE":
            message = f"Budget is {each.status.lower()} for scope: {each.scope}"
            raise Refused(f"BUDGET_{each.status}", message)
    return path


def hold(path: list[Ledger], estimate: int) -> list[Ledger]:
    for each in path:
        check_open([each])
        if each.is_over_limit:
            message = "Overdraft limit exceeded for: Scope is over-limit, no new reservations allowed"
            raise Refused("OVERDRAFT_LIMIT_EXCEEDED", message)
        if each.debt > 0 and each.overdraft_limit == 0:
            raise Refused("DEBT_OUTSTANDING", "Outstanding debt blocks new reservation for: DEBT_OUTSTANDING")
        if each.remaining < estimate:
            raise Refused("BUDGET_EXCEEDED", "Budget exceeded for: BUDGET_EXCEEDED")
    return give_back(path, -estimate)


def give_back(path: list[Ledger], estimate: int) -> list[Ledger]:
    return [replace(each, reserved=each.reserved - estimate) for each in path]


def commit(path: list[Ledger], estimate: int, actual: int, policy: str) -> tuple[list[Ledger], int]:
    """Settle a hold of `estimate`; gives the ledgers after it and what was charged."""
    overage = 0
    if actual > estimate:
        if policy == "REJECT":
            raise Refused(
                "BUDGET_EXCEEDED", "Budget exceeded for: Actual exceeds estimate and policy is REJECT"
            )
        path, overage = charge(path, actual - estimate, policy)
    base = min(actual, estimate)
    return [replace(each, spent=each.spent + base) for each in give_back(path, estimate)], base + overage


def charge(path: list[Ledger], amount: int, policy: str) -> tuple[list[Ledger], int]:
    """Spend `amount` without a hold; gives the ledgers after it and what was charged (c <= amount)."""
    if policy == "REJECT" and any(each.remaining < amount for each in path):
        raise Refused("BUDGET_EXCEEDED", "Budget exceeded for: BUDGET_EXCEEDED")
    may_owe = {each.scope for each in path if policy == "ALLOW_WITH_OVERDRAFT" and each.overdraft_limit > 0}
    charged = min([amount, *(max(0, each.remaining) for each in path if each.scope not in may_owe)])
    after = []
    for each in path:
        funded = min(charged, max(0, each.remaining))
        debt = each.debt + charged - funded
        if charged > funded and debt > each.overdraft_limit:
            message = "Overdraft limit exceeded for: OVERDRAFT_LIMIT_EXCEEDED"
            raise Refused("OVERDRAFT_LIMIT_EXCEEDED", message)
        # A ledger that could not bear the whole amount takes no new holds until an admin write clears it.
        uncovered = charged < amount and each.remaining < amount and each.scope not in may_owe
        over = each.is_over_limit or uncovered
        after.append(replace(each, spent=each.spent + funded, debt=debt, is_over_limit=over))
    return after, charged


def fund(ledger: Ledger, operation: str, amount: int, spent: int = 0) -> Ledger:
    """An admin's funding; RESET_SPENT sets spent to `spent`."""
    allocated, debt = ledger.allocated, ledger.debt
    match operation:
        case "CREDIT":
            allocated += amount
        case "DEBIT":
            if ledger.remaining < amount:
                raise Refused("BUDGET_EXCEEDED", f"Insufficient funds: {ledger.scope}")
            allocated -= amount
        case "REPAY_DEBT":
            allocated += max(0, amount - debt)
            debt -= min(debt, amount)
        case "RESET" | "RESET_SPENT":
            allocated = amount
    spent = spent if operation == "RESET_SPENT" else ledger.spent
    return set_limit(replace(ledger, allocated=allocated, debt=debt, spent=spent), ledger.overdraft_limit)


def set_limit(ledger: Ledger, overdraft_limit: int) -> Ledger:
    """Every admin write of the limit or the funds sets is_over_limit anew."""
    return replace(ledger, overdraft_limit=overdraft_limit, is_over_limit=ledger.debt > overdraft_limit)
