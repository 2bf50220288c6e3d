"""What errors are answered with: a page for browsers, problem details, or the provider's own shape under /v1."""

from typing import Any

from ..core.problems import MEDIA_TYPE, Problem
from .providers_api import error_of

PROVIDERS_API = "/v1/"
API = ("/api/", PROVIDERS_API)


def wants_page(path: str, accept: str) -> bool:
    """Return whether to answer an error with a page: to browsers, but never in the API."""
    return "text/html" in accept and not f"{path}/".startswith(API)


def body_of(problem: Problem, request_id: str, path: str) -> tuple[dict[str, Any], str]:
    """Return the body, and its media type."""
    if path.startswith(PROVIDERS_API):
        return error_of(problem, request_id), "application/json"
    return problem.body(request_id), MEDIA_TYPE
