"""The arithmetic of a ledger: pure functions, one a line of the table in the Cycles facts (section 4).

Amounts are integers of the ledger's unit (USD_MICROCENTS: 1 USD = 10^8). An operation touches every ledger along
the path of a subject, root first, and either changes all of them or raises and changes none.

    operation                          reserved  remaining  spent  debt
    hold e                                +e        -e
    give back e (release, expiry)         -e        +e
    commit a <= e                         -e      +(e-a)     +a
    commit e+d, c of d can be charged     -e        -c      +e+f  +(c-f)
    event d, c of it can be charged                 -c       +f   +(c-f)

f is what the ledger could fund itself; only ALLOW_WITH_OVERDRAFT, up to overdraft_limit, lets c exceed it.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
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
    caps: str | None = None

    @property
    def remaining(self) -> int:
        return self.allocated - self.spent - self.reserved - self.debt


class Insufficient(Exception):
    """A charge that REJECT does not allow, or a debit of more than remains. Nothing changed."""


class OverdraftExceeded(Exception):
    """The debt would exceed a ledger's overdraft_limit. Nothing changed."""


def denial(ledger: Ledger, estimate: int) -> str | None:
    """Why `ledger` refuses to hold `estimate`, as a Cycles reason code, or None. The order is Cycles' own."""
    if ledger.status in {"FROZEN", "CLOSED"}:
        return f"BUDGET_{ledger.status}"
    if ledger.is_over_limit:
        return "OVERDRAFT_LIMIT_EXCEEDED"
    if ledger.debt > 0 and ledger.overdraft_limit == 0:
        return "DEBT_OUTSTANDING"
    return "BUDGET_EXCEEDED" if ledger.remaining < estimate else None


def hold(ledgers: list[Ledger], estimate: int) -> list[Ledger]:
    return [replace(ledger, reserved=ledger.reserved + estimate) for ledger in ledgers]


def give_back(ledgers: list[Ledger], estimate: int) -> list[Ledger]:
    return hold(ledgers, -estimate)


def commit(ledgers: list[Ledger], estimate: int, actual: int, policy: str) -> tuple[list[Ledger], int]:
    """Settle a hold of `estimate`; gives the ledgers after it and what was charged.

    Raises Insufficient (actual > estimate under REJECT) and OverdraftExceeded.
    """
    charged = actual
    if actual > estimate:
        if policy == "REJECT":
            raise Insufficient
        ledgers, overage = charge(ledgers, actual - estimate, policy)
        charged = estimate + overage
    base = min(actual, estimate)
    settled = [replace(each, reserved=each.reserved - estimate, spent=each.spent + base) for each in ledgers]
    return settled, charged


def charge(ledgers: list[Ledger], amount: int, policy: str) -> tuple[list[Ledger], int]:
    """Spend `amount` without a hold; gives the ledgers after it and what was charged (c <= amount).

    Raises Insufficient (some remaining < amount under REJECT) and OverdraftExceeded.
    """
    if policy == "REJECT" and any(ledger.remaining < amount for ledger in ledgers):
        raise Insufficient
    indebtable = {each.scope for each in ledgers if policy == "ALLOW_WITH_OVERDRAFT" and each.overdraft_limit > 0}
    fundable = [max(0, ledger.remaining) for ledger in ledgers if ledger.scope not in indebtable]
    charged = min([amount, *fundable])

    after = []
    for ledger in ledgers:
        funded = min(charged, max(0, ledger.remaining))
        debt = ledger.debt + charged - funded
        if charged > funded and debt > ledger.overdraft_limit:
            raise OverdraftExceeded
        # Whoever could not bear the whole amount takes no new holds until an admin write clears it.
        uncovered = charged < amount and ledger.remaining < amount and ledger.scope not in indebtable
        over_limit = ledger.is_over_limit or uncovered
        after.append(replace(ledger, spent=ledger.spent + funded, debt=debt, is_over_limit=over_limit))
    return after, charged


def fund(ledger: Ledger, operation: str, amount: int, spent: int) -> Ledger:
    """An admin's funding operation. RESET_SPENT sets spent to `spent`. Raises Insufficient for too large a DEBIT."""
    match operation:
        case "CREDIT":
            ledger = replace(ledger, allocated=ledger.allocated + amount)
        case "DEBIT":
            if ledger.remaining < amount:
                raise Insufficient
            ledger = replace(ledger, allocated=ledger.allocated - amount)
        case "RESET":
            ledger = replace(ledger, allocated=amount)
        case "RESET_SPENT":
            ledger = replace(ledger, allocated=amount, spent=spent)
        case "REPAY_DEBT":
            repaid = min(ledger.debt, amount)
            ledger = replace(ledger, debt=ledger.debt - repaid, allocated=ledger.allocated + amount - repaid)
    return recompute(ledger)


def recompute(ledger: Ledger) -> Ledger:
    """Every admin write of the limit or the funds sets is_over_limit anew."""
    return replace(ledger, is_over_limit=ledger.debt > ledger.overdraft_limit)
