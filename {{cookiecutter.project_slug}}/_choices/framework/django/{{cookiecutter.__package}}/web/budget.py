"""Routes that return a tenant's budget."""

from django.http import HttpRequest
from ninja import Router

from ..core.problems import Problem
from ..tenants.headers import carry_credentials
from .dependencies import ApiRequest, headers_of, identified, services_of
from .login import viewer_of
from .openapi import BUDGET
from .schemas import BudgetAnswer

router = Router(tags=["budget"])


@router.get("/me", auth=identified, response=BudgetAnswer, openapi_extra={"responses": BUDGET})
async def my_budget(request: ApiRequest) -> BudgetAnswer:
    """Return the caller's budget."""
    return await services_of(request).budget_of(request.auth)


@router.get("/{tenant}", response=BudgetAnswer, openapi_extra={"responses": BUDGET})
async def budget(request: HttpRequest, tenant: str) -> BudgetAnswer:
    """Return a tenant's budget, to itself or to an operator who is signed in."""
    if not carry_credentials(headers_of(request)) and (viewer := await viewer_of(request)):
        viewer.check(tenant)
    elif await identified(request) != tenant:
        raise Problem("not_found")  # whether it exists or not
    return await services_of(request).budget_of(tenant)
