"""The pages for operators."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import quote

from django.contrib.auth import alogout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.backends.utils import csrf_input
from django.templatetags.static import static
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from ..dependencies import services_of
from ..handlers import ProblemResponse
from ..problems import OUTCOMES, Problem
from . import figures
from .attempts import local_path
from .login import operator_of, sign_in

CLI = "python manage.py"
"""What the pages tell operators to type."""

LOGIN = "/dashboard/login"

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], Coroutine[Any, Any, HttpResponse]]


class SeeOther(HttpResponseRedirect):
    status_code = 303


def page(view: View[P]) -> View[P]:
    """A view whose refusals browsers see as a page; other clients get problem details. Nothing of it is cached."""

    @wraps(view)
    async def shown(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            response = await view(request, *args, **kwargs)
        except Problem as problem:
            response = refusal(request, problem, await operator_of(request))
        response["Cache-Control"] = "no-store"
        return response

    return csrf_exempt(csrf_protect(shown))  # here, not in the middleware: a wrong method is 405 before that


@require_GET
@page
async def home(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    return SeeOther("/dashboard/")


@require_GET
@page
async def overview(request: HttpRequest) -> HttpResponse:
    if (operator := await operator_of(request)) is None:
        return to_login(request)
    query, number = request.GET.get("q", ""), request.GET.get("page", "1")
    if len(query) > 200 or not number.isdecimal():
        raise Problem("invalid_request")
    shown = await figures.overview(services_of(request), query, int(number[:9]))
    return html(request, "overview.html", operator=operator, overview=shown)


@require_GET
@page
async def tenant(request: HttpRequest, tenant: str) -> HttpResponse:
    if (operator := await operator_of(request)) is None:
        return to_login(request)
    shown = await figures.tenant_page(services_of(request), tenant)
    return html(request, "tenant.html", operator=operator, page=shown)


@require_http_methods(["GET", "POST"])
@page
async def login(request: HttpRequest) -> HttpResponse:
    form = request.POST if request.method == "POST" else request.GET
    path, username, password = (form.get(name, "")[:1000] for name in ("next", "username", "password"))
    path = local_path(path)
    if request.method == "GET":
        if await operator_of(request) is not None:
            return SeeOther(path)
        return login_form(request, path)
    try:
        await sign_in(request, username, password)
    except Problem as problem:
        if not for_a_browser(request):
            raise
        return login_form(request, path, username, problem)
    return SeeOther(path)


@require_POST
@page
async def log_out(request: HttpRequest) -> HttpResponse:
    await alogout(request)
    return SeeOther(LOGIN)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001
    """Django's CSRF_FAILURE_VIEW: a form that has expired or was not sent from this site."""
    problem = Problem("forbidden")
    if request.path == LOGIN and for_a_browser(request):
        form = request.POST
        return login_form(request, local_path(form.get("next", "")), form.get("username", ""), problem)
    return refusal(request, problem, None)


def for_a_browser(request: HttpRequest) -> bool:
    return "text/html" in request.headers.get("accept", "")


def login_form(request: HttpRequest, path: str, username: str = "", problem: Problem | None = None) -> HttpResponse:
    context: dict[str, Any] = {"operator": None, "next": path, "username": username, "problem": problem}
    status, headers = (problem.status, problem.headers) if problem else (200, {})
    return html(request, "login.html", status, headers, **context)


def to_login(request: HttpRequest) -> HttpResponse:
    wanted = request.get_full_path()
    back = "" if wanted == "/dashboard/" else f"?next={quote(wanted)}"
    return SeeOther(LOGIN + back)


def refusal(request: HttpRequest, problem: Problem, operator: str | None) -> HttpResponse:
    if not for_a_browser(request):
        return ProblemResponse(problem, request)
    _, words, detail = OUTCOMES[problem.code]
    context = {"operator": operator, "words": words, "detail": problem.detail or detail}
    return html(request, "error.html", problem.status, problem.headers, **context)


def html(
    request: HttpRequest, template: str, status: int = 200, headers: dict[str, str] | None = None, **context: object
) -> HttpResponse:
    page = figures.render(template, csrf=csrf_input(request), static=static, cli=CLI, **context)
    return HttpResponse(page, status=status, headers=headers)
