"""Middleware that routes API requests past the middleware of pages."""

from collections.abc import Awaitable, Callable

from asgiref.sync import ThreadSensitiveContext, iscoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.urls import Resolver404, resolve
from django.utils.decorators import async_only_middleware

from ..core.database import giving_back
from ..core.problems import Problem
from .handlers import ProblemResponse

View = Callable[..., Awaitable[HttpResponseBase]]


@async_only_middleware  # otherwise Django would run it in a thread, like WhiteNoise, which follows
def api_first(get_response: View) -> View:
    """Call views of the API at once and answer unknown paths.

    Sessions, CSRF tokens and messages cost a thread hop each, two thirds of the throughput, and the API uses none.
    """

    async def answer(request: HttpRequest) -> HttpResponseBase:
        try:
            match = resolve(request.path_info)
        except Resolver404:
            match = None
        if match is None or "ninja" not in match.app_names:
            response = await get_response(request)
        else:
            request.resolver_match = match
            view = match.func if iscoroutinefunction(match.func) else _in_thread(match.func)
            response = await view(request, **match.kwargs)
        if isinstance(response, HttpResponseNotAllowed):
            return ProblemResponse(Problem("method_not_allowed"), request, {"Allow": response["Allow"]})
        if match is None and response.status_code == 404:  # with DEBUG Django answers with a page
            return ProblemResponse(Problem("not_found"), request)
        return response

    answer.process_exception = _refuse  # type: ignore[attr-defined]
    return answer


def _refuse(request: HttpRequest, error: Exception) -> HttpResponse | None:
    return ProblemResponse(error, request) if isinstance(error, Problem) else None


def _in_thread(view: Callable[..., HttpResponseBase]) -> View:
    """Return a synchronous view as an asynchronous one that runs in a thread of its own, as long as a model takes."""

    async def answer(request: HttpRequest, **kwargs: object) -> HttpResponseBase:
        async with ThreadSensitiveContext():
            return await sync_to_async(giving_back(view))(request, **kwargs)

    return answer
