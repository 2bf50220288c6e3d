"""Views of the dashboard, for operators and tenants."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import urlencode

from django.contrib.auth import alogout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.backends.utils import csrf_input
from django.templatetags.static import static
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods
from markupsafe import Markup

from ..calls.export import calls_as_csv
from ..core.problems import Problem
from ..web.dependencies import services_of, state_of
from ..web.handlers import ProblemResponse
from ..web.login import address_of, sign_in, sign_in_tenant, signed_in, viewer_of
from ..web.viewer import SignInFirst, Viewer, local_path, ticket_by_key, ticket_by_link
from . import actions, figures, pages
from .pages import LOGIN
from .service import Dashboard

OPERATORS_PAGES = ("/dashboard/", "/admin/")

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], Coroutine[Any, Any, HttpResponseBase]]


class SeeOther(HttpResponseRedirect):
    status_code = 303


def page(*methods: str) -> Callable[[View[P]], View[P]]:
    """Make a view that shows problems as pages to browsers. Its answers are never cached."""

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        async def shown(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            try:
                response = await view(request, *args, **kwargs)
            except SignInFirst:
                response = to_login(request)
            except Problem as problem:
                response = refusal(request, problem, await viewer_of(request))
            response["Cache-Control"] = "no-store"
            return response

        # not in the middleware: a wrong method gets 405 before a missing token gets 403
        return require_http_methods(methods)(csrf_exempt(csrf_protect(shown)))

    return decorate


def dashboard_of(request: HttpRequest) -> Dashboard:
    services_of(request)  # raises if no lifespan has opened them
    dashboard: Dashboard = state_of(request)["dashboard"]
    return dashboard


@page("GET")
async def home(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    return SeeOther("/dashboard/")


@page("GET")
async def overview(request: HttpRequest) -> HttpResponse:
    viewer, dashboard = await signed_in(request), dashboard_of(request)
    if viewer.tenant is not None:
        return SeeOther(f"/dashboard/tenants/{viewer.tenant}")
    context = await figures.overview(dashboard, figures.query_of(request.GET.dict()))
    return live(request, "overview.html", viewer=viewer, **context)


@page("GET")
async def audit(request: HttpRequest) -> HttpResponse:
    viewer, number = await signed_in(request), figures.query_of(request.GET.dict()).page
    viewer.check()
    first = (number - 1) * figures.AUDIT_PER_PAGE
    entries = await dashboard_of(request).store.audit(None, figures.AUDIT_PER_PAGE, first)
    return html(request, "audit.html", viewer=viewer, entries=entries, page=number)


@page("GET")
async def tenant(request: HttpRequest, tenant: str) -> HttpResponse:
    viewer = await signed_in(request)
    viewer.check(tenant)
    context = await figures.tenant_page(dashboard_of(request), tenant, for_operator=viewer.is_operator)
    return live(request, "tenant.html", viewer=viewer, actions=actions.ACTIONS, **context)


@page("GET")
async def calls(request: HttpRequest, tenant: str) -> HttpResponseBase:
    (await signed_in(request)).check(tenant)
    dashboard = dashboard_of(request)
    await figures.check_tenant(dashboard, tenant)
    headers = {"Content-Disposition": f'attachment; filename="calls-{tenant}.csv"'}
    rows = calls_as_csv(dashboard.services.store, tenant)
    return StreamingHttpResponse(rows, content_type="text/csv", headers=headers)


@page("GET", "POST")
async def act(request: HttpRequest, tenant: str, verb: str) -> HttpResponse:
    viewer, dashboard = await signed_in(request), dashboard_of(request)
    viewer.check()
    if request.method == "GET":
        context = await actions.confirmation(dashboard, tenant, verb)
        return html(request, "action.html", viewer=viewer, **context)
    amount, reference = (request.POST.get(name, "").strip()[:1000] for name in ("amount", "reference"))
    try:
        path = await actions.act(dashboard, viewer.name, tenant, verb, amount, reference)
    except Problem as error:
        context = await actions.confirmation(dashboard, tenant, verb, amount, error.message)
        return html(request, "action.html", 409, viewer=viewer, **context)
    if path:
        link = request.build_absolute_uri(path)
        return html(request, "link_made.html", viewer=viewer, tenant=tenant, link=link)
    return SeeOther(f"/dashboard/tenants/{tenant}")


@page("GET", "POST")
async def link(request: HttpRequest, token: str) -> HttpResponse:
    if request.method == "GET":
        return html(request, "link.html", viewer=None)
    await sign_in_tenant(request, await ticket_by_link(services_of(request), token, address_of(request)))
    return SeeOther("/dashboard/")


@page("GET", "POST")
async def login(request: HttpRequest) -> HttpResponse:
    form = request.POST if request.method == "POST" else request.GET
    path, username, password, key = (form.get(name, "")[:1000] for name in ("next", "username", "password", "api_key"))
    path = local_path(path, OPERATORS_PAGES)
    if request.method == "GET":
        return login_page(request, path) if await viewer_of(request) is None else SeeOther(path)
    try:
        if key:
            ticket = await ticket_by_key(services_of(request), key.strip(), address_of(request))
            await sign_in_tenant(request, ticket)
            path = local_path(path)
        else:
            await sign_in(request, username, password)
    except Problem as problem:
        if not accepts_html(request):
            raise
        return login_page(request, path, username, problem)
    return SeeOther(path)


@page("POST")
async def log_out(request: HttpRequest) -> HttpResponse:
    await alogout(request)
    return SeeOther(LOGIN)


@page("GET", "POST")
async def admin_login(request: HttpRequest) -> HttpResponse:
    """Send the admin's visitors to the dashboard's login. Raise Problem not_found for tenants."""
    if viewer := await viewer_of(request):
        viewer.check()
    return SeeOther(f"{LOGIN}?{urlencode({'next': request.GET.get('next', '/admin/')})}")


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001
    """Refuse a form without its CSRF token. Django's CSRF_FAILURE_VIEW."""
    problem = Problem("forbidden")
    if request.path == LOGIN and accepts_html(request):
        form = request.POST
        return login_page(request, local_path(form.get("next", ""), OPERATORS_PAGES), form.get("username", ""), problem)
    return refusal(request, problem, None)


def accepts_html(request: HttpRequest) -> bool:
    return "text/html" in request.headers.get("accept", "")


def login_page(request: HttpRequest, path: str, username: str = "", problem: Problem | None = None) -> HttpResponse:
    context: dict[str, Any] = {"next": path, "username": username, "by_key": services_of(request).identity.signs_in}
    return html(request, "login.html", problem=problem, viewer=None, **context)


def to_login(request: HttpRequest) -> HttpResponse:
    if "hx-request" in request.headers:
        return HttpResponse(status=401, headers={"HX-Redirect": LOGIN})
    return SeeOther(pages.login_address(request.get_full_path()) if request.method == "GET" else LOGIN)


def refusal(request: HttpRequest, problem: Problem, viewer: Viewer | None) -> HttpResponse:
    if not accepts_html(request):
        return ProblemResponse(problem, request)
    return html(request, "error.html", problem=problem, viewer=viewer)


def html(
    request: HttpRequest, template: str, status: int = 200, problem: Problem | None = None, **context: object
) -> HttpResponse:
    page = pages.render(template, csrf=csrf_input(request), static=static, problem=problem, **context)
    return HttpResponse(page, status=problem.status if problem else status, headers=problem and problem.headers)


def live(request: HttpRequest, template: str, **context: object) -> HttpResponse:
    """Return a page that polls every two seconds: 304 if nothing has changed."""
    rendered = pages.render_live(
        template,
        known=request.headers.get("if-none-match", ""),
        fragment="hx-request" in request.headers,
        csrf=Markup(csrf_input(request)),  # noqa: S704  (it comes escaped)
        static=static,
        here=request.get_full_path(),
        **context,
    )
    status = 304 if rendered.html is None else 200
    return HttpResponse(rendered.html or "", status=status, headers={"ETag": rendered.etag})
