"""The answer of the budget routes."""

from datetime import UTC

from ..chat.schemas import BalanceRow, BudgetAnswer, Money
from ..problems import Problem
from .balances import Balances

MAX_AGE_S = 1.0


async def budget_of(balances: Balances, tenant: str) -> BudgetAnswer:
    """All ledgers of a tenant, by scope, at most MAX_AGE_S old. Raises Problem when Cycles does not tell."""
    known = await balances.read(tenant, MAX_AGE_S)
    if known is None:
        raise Problem("budget_unavailable")
    rows = [
        BalanceRow(
            scope=ledger.scope,
            allocated=Money(amount=ledger.allocated),
            spent=Money(amount=ledger.spent),
            reserved=Money(amount=ledger.reserved),
            remaining=Money(amount=ledger.remaining),
            debt=Money(amount=ledger.debt),
            overdraft_limit=Money(amount=ledger.overdraft_limit),
            is_over_limit=ledger.is_over_limit,
        )
        for ledger in sorted(known.ledgers.values(), key=lambda ledger: ledger.scope)
    ]
    as_of = known.as_of.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return BudgetAnswer(tenant=tenant, as_of=as_of, balances=rows)
