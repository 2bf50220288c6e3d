"""The shape of OpenAI's API, outside its routes: where its clients put their key, and errors."""

from typing import Any

from ..core.problems import Problem

ERROR_EVENT = b""
"""What stands before the data of an error in a stream."""
KEY_PATHS: tuple[str, ...] = ()
"""Where they put it into x-api-key."""

_TYPES = {401: "authentication_error", 402: "insufficient_quota", 403: "permission_error", 404: "not_found_error"}
_TYPES[429] = "rate_limit_error"


def error_of(problem: Problem, request_id: str) -> dict[str, Any]:
    """Return the body for a problem, with its members beside OpenAI's own."""
    kind = _TYPES.get(problem.status, "invalid_request_error" if problem.status < 500 else "server_error")
    members = {name: value for name, value in problem.members.items() if name != "errors"}
    error = {"message": problem.message, "type": kind, "param": None, "code": problem.code, **members}
    return {"error": {**error, "request_id": request_id}}
