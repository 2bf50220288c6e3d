"""Middleware that answers with problem details."""

from collections.abc import Awaitable, Callable

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.utils.decorators import async_only_middleware

from ..core.problems import Problem
from .handlers import ProblemResponse

View = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@async_only_middleware  # otherwise Django would run it in a thread, like WhiteNoise, which follows
def problems(get_response: View) -> View:
    """Answer a wrong method, and a Problem that a view raises."""

    async def answer(request: HttpRequest) -> HttpResponseBase:
        response = await get_response(request)
        if isinstance(response, HttpResponseNotAllowed):
            return ProblemResponse(Problem("method_not_allowed"), request, {"Allow": response["Allow"]})
        if isinstance(response, HttpResponse) and not response.has_header("Content-Length"):
            response["Content-Length"] = len(response.content)
        return response

    answer.process_exception = _refuse  # type: ignore[attr-defined]
    return answer


def _refuse(request: HttpRequest, error: Exception) -> HttpResponse | None:
    return ProblemResponse(error, request) if isinstance(error, Problem) else None
