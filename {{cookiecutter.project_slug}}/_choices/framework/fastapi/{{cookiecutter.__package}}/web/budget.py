"""What a tenant, or an operator, may know of a budget."""

from fastapi import APIRouter, Request

from ..core.problems import Problem
from ..tenants.headers import carry_credentials
from .dependencies import CurrentCaller, SharedServices, caller_of
from .login import viewer_of
from .openapi import BUDGET
from .schemas import BudgetAnswer

router = APIRouter(prefix="/api/budget", responses=BUDGET, tags=["budget"])


@router.get("/me")
async def my_budget(caller: CurrentCaller, services: SharedServices) -> BudgetAnswer:
    return BudgetAnswer.of(caller.tenant, await services.balances.read(caller.tenant))


@router.get("/{tenant}")
async def budget(tenant: str, request: Request, services: SharedServices) -> BudgetAnswer:
    if not carry_credentials(request.state.sent_headers) and (viewer := await viewer_of(request)):
        viewer.check(tenant)
        if await services.registry.tenant(tenant) is None:
            raise Problem("not_found")
    elif (await caller_of(request)).tenant != tenant:
        raise Problem("not_found")  # as if it did not exist, which it may or may not
    return BudgetAnswer.of(tenant, await services.balances.read(tenant))
