"""Views of the dashboard, for operators and tenants."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import quote

from django.contrib import messages
from django.contrib.auth import alogout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.backends.utils import csrf_input
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from ..calls.export import calls_as_csv
from ..core.problems import Problem
from ..web import login
from ..web.dependencies import services_of, state_of
from ..web.edge import API
from ..web.handlers import ProblemResponse
from ..web.login import signed_in
from ..web.viewer import SignInFirst, Viewer, local_path
from . import actions, calls, figures, pages
from .query import TenantQuery
from .service import Dashboard

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], Coroutine[Any, Any, HttpResponseBase]]


def page(*methods: str) -> Callable[[View[P]], View[P]]:
    """Make a view that shows problems as pages to browsers."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        async def shown(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            try:
                return await view(request, *args, **kwargs)
            except SignInFirst:
                return to_login(request)
            except Problem as problem:
                return refusal(request, problem, await login.viewer_of(request))

        # not in the middleware: a wrong method gets 405 before a missing token gets 403
        return require_http_methods(methods)(csrf_exempt(csrf_protect(shown)))

    return decorate


def dashboard_of(request: HttpRequest) -> Dashboard:
    services_of(request)  # raises if no lifespan has opened them
    dashboard: Dashboard = state_of(request)["dashboard"]
    return dashboard


@page("GET")
async def home(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    return see_other("/dashboard/")


@page("GET")
async def overview(request: HttpRequest) -> HttpResponse:
    viewer, dashboard = await signed_in(request), dashboard_of(request)
    if viewer.tenant is not None:
        return see_other(f"/dashboard/tenants/{viewer.tenant}")
    context = await figures.overview(dashboard, TenantQuery.of(request.GET.dict()))
    return html(request, "overview.html", viewer, **context)


@page("GET")
async def audit(request: HttpRequest) -> HttpResponse:
    viewer, query = await signed_in(request), TenantQuery.of(request.GET.dict())
    viewer.check()
    entries = await dashboard_of(request).store.audit(query, figures.AUDIT_PER_PAGE)
    return html(request, "audit.html", viewer, entries=entries, query=query)


@page("GET")
async def tenant(request: HttpRequest, tenant: str) -> HttpResponse:
    viewer = await signed_in(request)
    viewer.check(tenant)
    query = TenantQuery.of(request.GET.dict())
    return html(request, "tenant.html", viewer, **await figures.tenant_page(dashboard_of(request), tenant, query))


@page("GET")
async def call_list(request: HttpRequest) -> HttpResponse:
    viewer = await signed_in(request)
    query = calls.query_of(viewer, request.GET.dict())
    return html(request, "calls.html", viewer, **await calls.call_list(dashboard_of(request), query))


@page("GET")
async def one_call(request: HttpRequest, call: str) -> HttpResponse:
    viewer = await signed_in(request)
    return html(request, "call.html", viewer, **await calls.one_call(dashboard_of(request), viewer, call))


@page("GET")
async def calls_csv(request: HttpRequest, /, **tenant: str) -> HttpResponseBase:
    query, dashboard = calls.query_of(await signed_in(request), {**request.GET.dict(), **tenant}), dashboard_of(request)
    if query.tenant:
        await figures.find_budget(dashboard, query.tenant)
    headers = {"Content-Disposition": f'attachment; filename="calls-{query.tenant or "all"}.csv"'}
    rows = calls_as_csv(dashboard.services.store, query)
    return StreamingHttpResponse(rows, content_type="text/csv", headers=headers)


@page("GET", "POST")
async def act(request: HttpRequest, tenant: str, verb: str) -> HttpResponse:
    viewer, dashboard = await signed_in(request), dashboard_of(request)
    viewer.check()
    amount, reference = (request.POST.get(name, "")[:1000] for name in ("amount", "reference"))
    context = await actions.confirmation(dashboard, tenant, verb, amount)
    if request.method == "GET":
        return html(request, "action.html", viewer, **context)
    try:
        path, message = await actions.act(dashboard, viewer.name, context, reference)
    except Problem as problem:
        return html(request, "action.html", viewer, problem, **context)
    if not path:
        messages.success(request, message)
        return see_other(f"/dashboard/tenants/{tenant}")
    return html(request, "link_made.html", viewer, tenant=tenant, link=request.build_absolute_uri(path))


@page("GET", "POST")
async def link(request: HttpRequest, token: str) -> HttpResponse:
    if request.method == "GET":
        return html(request, "link.html")
    await login.follow_link(request, token)
    return see_other("/dashboard/")


@page("GET", "POST")
async def log_in(request: HttpRequest) -> HttpResponse:
    if request.method == "GET":
        return login_page(request)
    await login.sign_in(request, request.POST.get("username", ""), request.POST.get("password", ""))
    return see_other(local_path(request.POST.get("next", ""), ("/dashboard/", "/admin/")))


@page("POST")
async def log_out(request: HttpRequest) -> HttpResponse:
    await alogout(request)
    return see_other(pages.LOGIN)


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001
    """Refuse a form without its CSRF token. Django's CSRF_FAILURE_VIEW."""
    return refusal(request, Problem("forbidden"))


def see_other(path: str) -> HttpResponse:
    return HttpResponseRedirect(f"{pages.templates.globals['root']}{path}", status=303)


def to_login(request: HttpRequest) -> HttpResponse:
    if "hx-request" in request.headers:
        return HttpResponse(status=401, headers={"HX-Refresh": "true"})
    return see_other(f"{pages.LOGIN}?next={quote(request.get_full_path_info())}")


@csrf_exempt
async def nowhere(request: HttpRequest) -> HttpResponse:
    """Answer a path that no route has."""
    is_browser = "text/html" in request.headers.get("accept", "")
    return refusal(request, Problem("not_found"), await login.viewer_of(request) if is_browser else None)


def refusal(request: HttpRequest, problem: Problem, viewer: Viewer | None = None) -> HttpResponse:
    if f"{request.path_info}/".startswith(API) or "text/html" not in request.headers.get("accept", ""):
        return ProblemResponse(problem, request)
    if request.path_info == pages.LOGIN:
        return login_page(request, problem)
    return html(request, "error.html", viewer, problem)


def login_page(request: HttpRequest, problem: Problem | None = None) -> HttpResponse:
    return html(request, "login.html", problem=problem, form={**request.GET.dict(), **request.POST.dict()})


def html(
    request: HttpRequest, template: str, viewer: Viewer | None = None, problem: Problem | None = None, **context: object
) -> HttpResponse:
    context |= {"viewer": viewer, "csrf": csrf_input(request), "flash": lambda: messages.get_messages(request)}
    page, status, headers = pages.render(template, request.headers, problem, **context)
    return HttpResponse(page, status=status, headers=headers)
