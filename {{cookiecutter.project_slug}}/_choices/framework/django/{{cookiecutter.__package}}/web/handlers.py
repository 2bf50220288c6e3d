"""Problem details for every refusal and failure: the API's and Django's own."""

from collections.abc import Callable
from typing import Never

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from ..core.problems import Problem, code_of_status
from . import schemas
from .dependencies import state_of
from .errors import body_of


class ProblemResponse(JsonResponse):
    def __init__(self, problem: Problem, request: HttpRequest, headers: dict[str, str] | None = None) -> None:
        """The response for a problem; `headers` are added to the problem's own."""
        body, media_type = body_of(problem, request_id_of(request), request.path_info)
        sent = (headers or {}) | problem.headers
        super().__init__(body, status=problem.status, headers=sent, content_type=media_type)


def request_id_of(request: HttpRequest) -> str:
    """Return the request's ID from the edge, "" under WSGI, which has no edge."""
    return str(state_of(request).get("request_id", ""))


def add_exception_handlers(api: NinjaAPI) -> None:
    """Answer with problem details where ninja or a route raises. Unexpected exceptions are left to web/edge.py."""
    api.exception_handler(Problem)(lambda request, problem: ProblemResponse(problem, request))
    api.exception_handler(ValidationError)(_invalid)
    api.exception_handler(HttpError)(_http)
    api.exception_handler(Exception)(_raise)


def problem_view(code: str) -> Callable[..., HttpResponse]:
    """Return a view that answers with a problem, for Django's `handler400` and the like."""
    return lambda request, exception=None: ProblemResponse(Problem(code), request)  # noqa: ARG005


def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    # ninja gives the source, the parameter's name and, for a body, the path in it
    places = [item["loc"][2 if item["loc"][0] == "body" else 1 :] or item["loc"][:1] for item in error.errors]
    messages = [item["msg"] for item in error.errors]
    return ProblemResponse(schemas.invalid(list(zip(places, messages, strict=True))), request)


def _http(request: HttpRequest, error: HttpError) -> HttpResponse:
    detail = "The body is not JSON." if error.status_code == 400 else None  # ninja's only 400
    return ProblemResponse(Problem(code_of_status(error.status_code), detail), request)


def _raise(_: HttpRequest, error: Exception) -> Never:
    raise error  # ninja would answer with the traceback in development
