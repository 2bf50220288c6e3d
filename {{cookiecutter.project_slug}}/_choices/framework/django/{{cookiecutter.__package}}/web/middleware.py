"""Keeps the API clear of what only pages need. What every request passes first is edge.py."""

from collections.abc import Awaitable, Callable

from asgiref.sync import ThreadSensitiveContext, iscoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.urls import Resolver404, ResolverMatch, resolve
from django.utils.decorators import async_only_middleware

from ..core.database import giving_back
from ..core.problems import Problem
from .handlers import ProblemResponse

View = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


@async_only_middleware  # or it would become synchronous, since WhiteNoise, which follows, is
def api_first(get_response: View) -> View:
    """Calls the API's views at once; all else goes through the middleware that follows.

    Sessions, operators, CSRF tokens and messages each cost a thread hop, two thirds of the throughput together,
    and an identity at the API is never a cookie.
    """

    async def answer(request: HttpRequest) -> HttpResponseBase:
        match = _api_match(request)
        if match is None:
            response = await get_response(request)
        else:
            request.resolver_match = match
            view = match.func if iscoroutinefunction(match.func) else _in_a_thread(match.func)
            response = await view(request, **match.kwargs)
        if isinstance(response, HttpResponseNotAllowed):  # Django's and ninja's own
            return ProblemResponse(Problem("method_not_allowed"), request, {"Allow": response["Allow"]})
        return response

    return answer


def _api_match(request: HttpRequest) -> ResolverMatch | None:
    """What answers this address, if it is a view of the API."""
    try:
        match = resolve(request.path_info)
    except Resolver404:
        return None
    return match if "ninja" in match.app_names else None


def _in_a_thread(view: Callable[..., HttpResponseBase]) -> Callable[..., Awaitable[HttpResponseBase]]:
    """A synchronous view, run in a thread of the request's own: it may take as long as a model does."""
    in_thread = sync_to_async(giving_back(view))

    async def answer(request: HttpRequest, **kwargs: object) -> HttpResponseBase:
        async with ThreadSensitiveContext():
            return await in_thread(request, **kwargs)

    return answer
