"""The shape of Anthropic's API, outside its routes: where its clients put their key, and errors."""

from typing import Any

from ..core.problems import Problem

ERROR_EVENT = b"event: error\n"
"""What stands before the data of an error in a stream."""
KEY_PATHS: tuple[str, ...] = ("/v1/messages", "/v1/models")
"""Where they put it into x-api-key."""

_TYPES = {401: "authentication_error", 402: "billing_error", 403: "permission_error", 404: "not_found_error"}
_TYPES |= {413: "request_too_large", 429: "rate_limit_error", 503: "overloaded_error"}


def error_of(problem: Problem, request_id: str) -> dict[str, Any]:
    """Return the body for a problem, with its members beside Anthropic's own."""
    kind = _TYPES.get(problem.status, "invalid_request_error" if problem.status < 500 else "api_error")
    members = {name: value for name, value in problem.members.items() if name != "errors"}
    error = {"type": kind, "message": problem.message, "code": problem.code, **members, "request_id": request_id}
    return {"type": "error", "error": error, "request_id": request_id}
