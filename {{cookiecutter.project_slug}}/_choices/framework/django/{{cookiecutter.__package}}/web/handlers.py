"""Every refusal and failure becomes problem details here: the API's, and Django's own."""

import secrets
import sys
from collections.abc import Callable
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from ..core.problems import MEDIA_TYPE, Problem, code_of_status

log = structlog.get_logger(__name__)


class ProblemResponse(JsonResponse):
    _has_been_logged = True  # by us, where it is worth it: Django would write a line for each refusal

    def __init__(self, problem: Problem, request: HttpRequest, headers: dict[str, str] | None = None) -> None:
        """The response for a problem; `headers` are added to the problem's own."""
        body, sent = problem.body(request_id_of(request)), (headers or {}) | problem.headers
        super().__init__(body, status=problem.status, headers=sent, content_type=MEDIA_TYPE)


def request_id_of(request: HttpRequest) -> str:
    """As the edge has named the request; made up where there is no edge, under WSGI."""
    scope: dict[str, Any] = getattr(request, "scope", {})
    name: str = scope.get("state", {}).get("request_id") or secrets.token_hex(16)
    return name


def add_exception_handlers(api: NinjaAPI) -> None:
    """Ours, and ninja's own 400, 404 and 422."""
    api.exception_handler(Problem)(lambda request, problem: ProblemResponse(problem, request))
    api.exception_handler(ValidationError)(_invalid)
    api.exception_handler(HttpError)(_http)
    api.exception_handler(Exception)(_unexpected)


def refused(code: str) -> Callable[[HttpRequest, Exception], HttpResponse]:
    """One of Django's error views (handler400, ...) that answers with the problem `code`."""
    return lambda request, exception: ProblemResponse(Problem(code), request)  # noqa: ARG005


def failed(request: HttpRequest) -> HttpResponse:
    """Django's handler500: whatever was raised outside the API, in a view or in middleware."""
    error = sys.exception()
    if isinstance(error, Problem):
        return ProblemResponse(error, request)
    return _unexpected(request, error)


def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    # not the input itself: it may be anything, a secret or text that no encoder takes
    errors = [{"at": _place(item["loc"]), "message": item["msg"]} for item in error.errors]
    detail = "; ".join(f"{item['at']}: {item['message']}" for item in errors[:3])
    return ProblemResponse(Problem("invalid_request", detail, members={"errors": errors}), request)


def _http(request: HttpRequest, error: HttpError) -> HttpResponse:
    detail = "The body is not JSON." if error.status_code == 400 else None  # ninja's only one
    return ProblemResponse(Problem(code_of_status(error.status_code), detail), request)


def _unexpected(request: HttpRequest, error: BaseException | None) -> HttpResponse:
    log.error("request failed", request_id=request_id_of(request), path=request.path, exc_info=error)
    return ProblemResponse(Problem("internal_error"), request)


def _place(location: tuple[Any, ...]) -> str:
    # ninja says where it is, the parameter's name, and for a body the place in it
    path = location[2:] if location[0] == "body" else location[1:]
    return ".".join(str(part).encode("ascii", "replace").decode() for part in path) or str(location[0])
