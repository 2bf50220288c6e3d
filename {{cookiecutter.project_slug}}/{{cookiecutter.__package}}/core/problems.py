"""Error codes with their HTTP statuses, and `Problem`, which becomes an RFC 9457 response.

Raise `Problem` to refuse a request, from any layer.
"""

from typing import Any

from .identity_settings import CHALLENGE
from .money import UNIT, format_usd

MEDIA_TYPE = "application/problem+json"

# code: status, title, detail
OUTCOMES: dict[str, tuple[int, str, str]] = {
    "unauthenticated": (401, "Not authenticated", "Send valid credentials."),
    "tenant_mismatch": (403, "Tenant mismatch", "X-Tenant-ID does not match the credentials."),
    "tenant_suspended": (403, "Tenant suspended", "This tenant is suspended."),
    "budget_frozen": (403, "Budget frozen", "The budget is frozen."),
    "budget_closed": (403, "Budget closed", "The budget is closed."),
    "forbidden": (403, "Forbidden", "The form has expired. Reload the page and try again."),
    "budget_exceeded": (402, "Budget exceeded", "The budget does not cover this call."),
    "overdraft_limit_exceeded": (402, "Overdraft limit exceeded", "The budget is over its limit."),
    "debt_outstanding": (402, "Debt outstanding", "The budget has debt that must be repaid first."),
    "run_limit_exceeded": (402, "Run limit exceeded", "The limit of this run does not cover its next step."),
    "tool_not_allowed": (403, "Tool not allowed", "This tool is not allowed."),
    "not_found": (404, "Not found", "Not found."),
    "method_not_allowed": (405, "Method not allowed", "This URL does not support that method."),
    "idempotency_in_progress": (409, "Request in progress", "A request with this Idempotency-Key is still running."),
    "idempotency_not_kept": (409, "Answer not kept", "The call was charged, its answer was not kept. Use a new key."),
    "too_large": (413, "Content too large", "The request body is larger than 1 MiB."),
    "unsupported_media_type": (415, "Unsupported media type", "Send application/json."),
    "invalid_host": (400, "Invalid host", "This host is not in ALLOWED_HOSTS."),
    "ambiguous_length": (400, "Ambiguous length", "Send either Content-Length or Transfer-Encoding."),
    "invalid_request": (422, "Invalid request", "The request is invalid."),
    "idempotency_mismatch": (422, "Key used before", "This Idempotency-Key was used with another request."),
    "unknown_model": (422, "Unknown model", "This model is not available."),
    "unsupported_parameter": (422, "Unsupported parameter", "A parameter is not supported here."),
    "provider_refused": (422, "Provider refused", "The model provider refused this request."),
    "limit_exceeded": (429, "Too many requests", "Too many requests. Try again later."),
    "too_many_attempts": (429, "Too many attempts", "Try again later."),
    "provider_error": (502, "Model provider failed", "The model provider did not answer correctly. Try again later."),
    "budget_unavailable": (503, "Budget unavailable", "The budget cannot be checked right now. Try again later."),
    "identity_unavailable": (503, "Identity unavailable", "Credentials cannot be checked right now. Try again later."),
    "shutting_down": (503, "Shutting down", "This server is shutting down. Try again."),
    "budget_misconfigured": (500, "Budget misconfigured", "This tenant's budget is not set up correctly."),
    "internal_error": (500, "Internal error", "Something went wrong on our side."),
}

WANT_OF_MONEY = ("budget_exceeded", "overdraft_limit_exceeded", "debt_outstanding")
"""Codes of holds that a ledger can't pay."""

UNLISTED = (409, "Refused", "The request was refused.")

_STATUS_CODES = {401: "unauthenticated", 404: "not_found", 405: "method_not_allowed"}

# Retry-After; for the other codes with status 429 or 503: 1
_WAIT_S = {"budget_unavailable": 2, "idempotency_in_progress": 2, "identity_unavailable": 5, "too_many_attempts": 60}

WAIT_FOR_HOLDS_S = 5
"""Retry-After where only the holds of other calls stand in the way."""


class Problem(Exception):
    """A refused request.

    `code` is a key of OUTCOMES, or one that only commands and the dashboard raise (409 over HTTP). `message` replaces
    the detail there; clients and operators read it, so it holds nothing internal. `retry_after` is in seconds.
    `members` are added to the body: tenant, scope, unit, required and remaining (microcents), errors.
    """

    challenge = CHALLENGE
    """The WWW-Authenticate header of a 401."""

    def __init__(self, code: str, message: str | None = None, retry_after: int | None = None, **members: Any) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.status, self.title, default = OUTCOMES.get(code, UNLISTED)
        self.message = message or default
        default_s = _WAIT_S.get(code, 1 if self.status in (429, 503) else None)
        self.retry_after = default_s if retry_after is None else retry_after
        self.members = members

    @property
    def headers(self) -> dict[str, str]:
        """Retry-After where a retry makes sense, and WWW-Authenticate for a 401."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == 401:
            headers["WWW-Authenticate"] = self.challenge
        return headers

    def body(self, request_id: str) -> dict[str, Any]:
        """Return the members of the response."""
        body: dict[str, Any] = {
            "type": f"urn:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.message,
            "code": self.code,
            "request_id": request_id,
        }
        if self.retry_after is not None:
            body["retry_after_seconds"] = self.retry_after
        return body | self.members


def budget_problem(
    code: str, tenant: str, required: int, scope: str | None = None, remaining: int | None = None, reserved: int = 0
) -> Problem:
    """Return the problem for a call of `required` microcents that the budget cannot pay.

    `scope`, `remaining` and `reserved` (microcents) describe the exhausted ledger, as far as Cycles reports it.
    """
    members: dict[str, Any] = {"tenant": tenant, "unit": UNIT, "required": required, "remaining": remaining}
    if scope:
        members["scope"] = scope
    if code != "budget_exceeded" or remaining is None:
        return Problem(code, **members)
    detail = f"This call needs up to ${format_usd(required)}; ${format_usd(max(0, remaining))} of the budget is left."
    if remaining + reserved < required:
        return Problem(code, detail, **members)
    detail += " Other calls in progress hold the rest."
    return Problem(code, detail, WAIT_FOR_HOLDS_S, **members)


def code_of_status(status: int) -> str:
    """Return our code for an error status that a library chose."""
    return _STATUS_CODES.get(status, "invalid_request" if 400 <= status < 500 else "internal_error")
