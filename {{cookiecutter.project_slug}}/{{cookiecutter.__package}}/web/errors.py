"""The body of an error: problem details, or the provider's own shape under /v1."""

from typing import Any

from ..core.problems import MEDIA_TYPE, Problem
from .providers_api import error_of

PROVIDERS_API = "/v1/"


def body_of(problem: Problem, request_id: str, path: str) -> tuple[dict[str, Any], str]:
    """Return the body, and its media type."""
    if path.startswith(PROVIDERS_API):
        return error_of(problem, request_id), "application/json"
    return problem.body(request_id), MEDIA_TYPE
