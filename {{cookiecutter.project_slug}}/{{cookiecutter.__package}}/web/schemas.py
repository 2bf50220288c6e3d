"""Bodies of answers: amounts, budgets, problems; and the headers of paid ones.

Both frameworks build their OpenAPI from these.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from ..core.problems import Problem

MAX_ERRORS = 20

EndUser = Annotated[
    str,
    # no control characters: databases refuse NUL
    Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$", description="The user the call is made for"),
]


class Money(BaseModel):
    """An amount: 1 USD is 100,000,000 microcents."""

    unit: Literal["USD_MICROCENTS"] = "USD_MICROCENTS"
    amount: int


Amount = Annotated[Money, BeforeValidator(lambda given: {"amount": given} if isinstance(given, int) else given)]
"""Takes microcents."""


class BalanceRow(BaseModel, from_attributes=True):
    """One ledger; `remaining` may be negative."""

    scope: str
    allocated: Amount
    spent: Amount
    reserved: Amount
    remaining: Amount
    debt: Amount
    overdraft_limit: Amount
    is_over_limit: bool


class BudgetAnswer(BaseModel):
    """All ledgers of a tenant, sorted by scope. Times are RFC 3339 in UTC; `renews_at` is null unless it recurs."""

    tenant: str
    as_of: datetime
    renews_at: datetime | None
    balances: list[BalanceRow]


class ProblemBody(BaseModel):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    tenant: str | None = None
    scope: str | None = None
    unit: str | None = None
    required: int | None = None
    remaining: int | None = None
    retry_after_seconds: int | None = None
    errors: list[dict[str, str]] | None = None


def invalid(errors: Sequence[tuple[Sequence[Any], str]]) -> Problem:
    """Return the problem for input with these errors, each a path and a message.

    Never holds the input itself: it may be a secret, or text that cannot be encoded.
    """
    listed = [{"at": _place(path), "message": message} for path, message in errors[:MAX_ERRORS]]
    detail = "; ".join(f"{item['at']}: {item['message']}" for item in listed[:3])
    return Problem("invalid_request", detail, errors=listed)


def _place(path: Sequence[Any]) -> str:
    return ".".join(str(part)[:100].encode("ascii", "replace").decode() for part in path)


def budget_headers(remaining: int | None, cost: int | None = None, fallback: str | None = None) -> dict[str, str]:
    """Return X-Budget-Remaining and X-Budget-Cost (microcents) and X-Budget-Fallback, as far as known."""
    headers = {"X-Budget-Remaining": remaining, "X-Budget-Cost": cost, "X-Budget-Fallback": fallback}
    return {name: str(value) for name, value in headers.items() if value is not None}
