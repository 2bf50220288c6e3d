"""What a tenant, or an operator, may know of a budget."""

from datetime import UTC

from fastapi import APIRouter, Request

from ..chat.schemas import BalanceRow, BudgetAnswer, Money
from ..dashboard.login import current_operator
from ..dependencies import CurrentCaller, SharedServices, caller_of, problems
from ..problems import Problem
from ..services import Services

router = APIRouter(prefix="/api/budget", responses=problems(401, 403, 404, 422, 500, 503), tags=["budget"])

MAX_AGE_S = 1.0


@router.get("/me")
async def my_budget(caller: CurrentCaller, services: SharedServices) -> BudgetAnswer:
    return await budget_of(services, caller.tenant)


@router.get("/{tenant}")
async def budget(tenant: str, request: Request, services: SharedServices) -> BudgetAnswer:
    if "authorization" not in request.headers and await current_operator(request):
        if await services.registry.tenant(tenant) is None:
            raise Problem("not_found")
    elif (await caller_of(request)).tenant != tenant:
        raise Problem("not_found")  # as if it did not exist, which it may or may not
    return await budget_of(services, tenant)


async def budget_of(services: Services, tenant: str) -> BudgetAnswer:
    known = await services.balances.read(tenant, MAX_AGE_S)
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
