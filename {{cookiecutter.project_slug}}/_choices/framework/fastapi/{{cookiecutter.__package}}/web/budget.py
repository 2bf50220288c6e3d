"""Budget routes, for a tenant and for operators."""

from fastapi import APIRouter, Request

from ..core.problems import Problem
from ..tenants.headers import carry_credentials
from .dependencies import services_of, tenant_of
from .login import viewer_of
from .openapi import BUDGET
from .schemas import BudgetAnswer

router = APIRouter(prefix="/api/budget", responses=BUDGET, tags=["budget"])


@router.get("/me")
async def my_budget(request: Request) -> BudgetAnswer:
    """Return the caller's budget."""
    return await services_of(request).budget_of(await tenant_of(request))


@router.get("/{tenant}")
async def budget(tenant: str, request: Request) -> BudgetAnswer:
    """Return a tenant's budget, to itself or to an operator who is signed in."""
    if not carry_credentials(request.state.sent_headers) and (viewer := await viewer_of(request)):
        viewer.check(tenant)
    elif await tenant_of(request) != tenant:
        raise Problem("not_found")  # not 403, which would reveal that it exists
    return await services_of(request).budget_of(tenant)
