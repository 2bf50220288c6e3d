"""The arithmetic of a ledger: pure functions, one for each line of this table.

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

OVER_LIMIT = "Overdraft limit exceeded for: Scope is over-limit, no new reservations allowed"


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
    about: dict[str, Any] = field(default_factory=dict)  # what only the admin plane shows: id, times, policies

    @property
    def remaining(self) -> int:
        return self.allocated - self.spent - self.reserved - self.debt

    @property
    def readable(self) -> bool:
        """False once an admin's funding has gone beyond int64: the servers can no longer read such a ledger."""
        return max(self.allocated, self.spent) < 2**63


def check_open(path: list[Ledger]) -> list[Ledger]:
    for each in (each for each in path if each.status != "ACTIVE"):
        raise Refused(f"BUDGET_{each.status}", f"Budget is {each.status.lower()} for scope: {each.scope}")
    return path


def hold(path: list[Ledger], estimate: int) -> list[Ledger]:
    for each in path:
        check_open([each])
        if each.is_over_limit:
            raise Refused("OVERDRAFT_LIMIT_EXCEEDED", OVER_LIMIT)
        if each.debt > 0 and each.overdraft_limit == 0:
            raise Refused("DEBT_OUTSTANDING", "Outstanding debt blocks new reservation for: DEBT_OUTSTANDING")
        if each.remaining < estimate:
            raise Refused("BUDGET_EXCEEDED", "Budget exceeded for: BUDGET_EXCEEDED")
    return give_back(path, -estimate)


def give_back(path: list[Ledger], estimate: int) -> list[Ledger]:
    return [replace(each, reserved=each.reserved - estimate) for each in path]


def commit(path: list[Ledger], estimate: int, actual: int, policy: str) -> tuple[list[Ledger], int]:
    """Settle a hold of `estimate`; gives the ledgers after it and what was charged."""
    base, overage = min(actual, estimate), 0
    if actual > estimate:
        if policy == "REJECT":
            raise Refused("BUDGET_EXCEEDED", "Budget exceeded for: Actual exceeds estimate and policy is REJECT")
        path, overage = charge(path, actual - estimate, policy)
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
            raise Refused("OVERDRAFT_LIMIT_EXCEEDED", "Overdraft limit exceeded for: OVERDRAFT_LIMIT_EXCEEDED")
        # A ledger that could not bear the whole amount takes no new holds until an admin write clears it.
        uncovered = charged < amount and each.remaining < amount and each.scope not in may_owe
        flag = each.is_over_limit or uncovered
        after.append(replace(each, spent=each.spent + funded, debt=debt, is_over_limit=flag))
    return after, charged


def fund(ledger: Ledger, operation: str, amount: int, spent: int) -> Ledger:
    """Apply an admin's funding, in floating point as the server does. RESET_SPENT sets spent to `spent`."""
    if operation == "DEBIT" and ledger.remaining < amount:
        raise Refused("BUDGET_EXCEEDED", f"Insufficient funds: {ledger.scope}")
    repaid = min(ledger.debt, amount) if operation == "REPAY_DEBT" else 0
    gains = {"CREDIT": amount, "DEBIT": -amount, "REPAY_DEBT": amount - repaid}
    allocated = ledger.allocated + gains[operation] if operation in gains else amount
    spent = int(float(spent)) if operation == "RESET_SPENT" else ledger.spent
    after = replace(ledger, allocated=int(float(allocated)), debt=ledger.debt - repaid, spent=spent)
    return set_limit(after, ledger.overdraft_limit)


def set_limit(ledger: Ledger, overdraft_limit: int) -> Ledger:
    """Every admin write of the limit or the funds updates is_over_limit."""
    return replace(ledger, overdraft_limit=overdraft_limit, is_over_limit=ledger.debt > overdraft_limit)
