"""The problem that tells a caller why the budget refuses a call."""

import time

from ..core.money import UNIT
from ..core.problems import OUTCOMES, Problem, budget_problem
from .balances import FRESH_S, Balances


async def refusal_of(balances: Balances, code: str, tenant: str, scopes: list[str], required: int) -> Problem:
    """Return the problem for a call of `required` microcents that counts in `scopes`.

    A 402 names the first ledger that refuses the call. Read the balances again if the cached ones don't explain it.
    """
    if OUTCOMES[code][0] != 402:
        return Problem(code, members={"tenant": tenant, "unit": UNIT})
    try:
        known = await balances.read(tenant)
        ledger = known.obstacle(scopes, required)
        if ledger is None and time.monotonic() - known.listed_at > FRESH_S:
            ledger = (await balances.read(tenant, 0.0)).obstacle(scopes, required)
    except Problem:
        ledger = None
    if ledger is None:
        return budget_problem(code, tenant, required)
    return budget_problem(code, tenant, required, ledger.scope, ledger.remaining, ledger.reserved)
