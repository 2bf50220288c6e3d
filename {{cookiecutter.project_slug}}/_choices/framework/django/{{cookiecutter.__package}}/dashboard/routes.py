"""The pages for operators and tenants."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec
from urllib.parse import quote, urlencode

from django.contrib.auth import alogout
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.backends.utils import csrf_input
from django.templatetags.static import static
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from markupsafe import Markup

from ..calls.export import calls_as_csv
from ..core.errors import TenantsError
from ..core.problems import OUTCOMES, Problem
from ..web.dependencies import services_of, state_of
from ..web.handlers import ProblemResponse
from ..web.login import address_of, sign_in, sign_in_tenant, signed_in, viewer_of
from ..web.viewer import SignInFirst, Viewer, local_path, ticket_by_key, ticket_by_link
from . import actions, figures, pages
from .service import Dashboard

CLI = "python manage.py"
"""What the pages tell operators to type."""

LOGIN = "/dashboard/login"
OPERATORS_PAGES = ("/dashboard/", "/admin/")

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], Coroutine[Any, Any, HttpResponseBase]]


def dashboard_of(request: HttpRequest) -> Dashboard:
    services_of(request)  # raises where no lifespan has opened them
    dashboard: Dashboard = state_of(request)["dashboard"]
    return dashboard


class SeeOther(HttpResponseRedirect):
    status_code = 303


def page(view: View[P]) -> View[P]:
    """A view whose refusals browsers see as a page; other clients get problem details. Nothing of it is cached."""

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

    return csrf_exempt(csrf_protect(shown))  # here, not in the middleware: a wrong method is 405 before that


@require_GET
@page
async def home(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    return SeeOther("/dashboard/")


@require_GET
@page
async def overview(request: HttpRequest) -> HttpResponse:
    viewer = await signed_in(request)
    if viewer.tenant is not None:
        return SeeOther(f"/dashboard/tenants/{viewer.tenant}")
    shown = await figures.overview(dashboard_of(request), figures.wanted_of(request.GET.dict()))
    return live(request, "overview.html", viewer=viewer, **shown)


@require_GET
@page
async def audit(request: HttpRequest) -> HttpResponse:
    viewer, number = await signed_in(request), request.GET.get("page", "1")
    viewer.check()
    if not number.isdecimal() or not 1 <= int(number[:9]) <= 100_000:
        raise Problem("invalid_request")
    entries = await figures.audit(dashboard_of(request), int(number))
    return html(request, "audit.html", viewer=viewer, entries=entries, page=int(number))


@require_GET
@page
async def tenant(request: HttpRequest, tenant: str) -> HttpResponse:
    viewer = await signed_in(request)
    viewer.check(tenant)
    shown = await figures.tenant_page(dashboard_of(request), tenant, for_operator=viewer.is_operator)
    return live(request, "tenant.html", viewer=viewer, actions=actions.ACTIONS, **shown)


@require_GET
@page
async def calls(request: HttpRequest, tenant: str) -> HttpResponseBase:
    (await signed_in(request)).check(tenant)
    dashboard = dashboard_of(request)
    await figures.tenant_of(dashboard, tenant)
    headers = {"Content-Disposition": f'attachment; filename="calls-{tenant}.csv"'}
    rows = calls_as_csv(dashboard.services.store, tenant)
    return StreamingHttpResponse(rows, content_type="text/csv", headers=headers)


@require_http_methods(["GET", "POST"])
@page
async def act(request: HttpRequest, tenant: str, verb: str) -> HttpResponse:
    viewer, dashboard = await signed_in(request), dashboard_of(request)
    viewer.check()
    action = actions.action_of(verb)
    if request.method == "GET":
        return html(request, "action.html", viewer=viewer, **await actions.confirmation(dashboard, tenant, action))
    amount, reference = (request.POST.get(name, "").strip()[:1000] for name in ("amount", "reference"))
    try:
        came_of_it = await actions.act(dashboard, viewer.name, tenant, action, amount, reference)
    except TenantsError as error:
        asked = await actions.confirmation(dashboard, tenant, action, amount, str(error))
        return html(request, "action.html", 409, viewer=viewer, **asked)
    if verb == "link":
        link = request.build_absolute_uri(came_of_it)
        return html(request, "link_made.html", viewer=viewer, tenant=tenant, link=link)
    return SeeOther(f"/dashboard/tenants/{tenant}")


@require_http_methods(["GET", "POST"])
@page
async def link(request: HttpRequest, token: str) -> HttpResponse:
    if request.method == "GET":
        return html(request, "link.html", viewer=None)
    await sign_in_tenant(request, await ticket_by_link(services_of(request), token, address_of(request)))
    return SeeOther("/dashboard/")


@require_http_methods(["GET", "POST"])
@page
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
        if not for_a_browser(request):
            raise
        return login_page(request, path, username, problem)
    return SeeOther(path)


@require_POST
@page
async def log_out(request: HttpRequest) -> HttpResponse:
    await alogout(request)
    return SeeOther(LOGIN)


@require_http_methods(["GET", "POST"])
@page
async def admin_login(request: HttpRequest) -> HttpResponse:
    """Send the admin's visitors to the dashboard's login. Raise Problem not_found for tenants."""
    if viewer := await viewer_of(request):
        viewer.check()
    return SeeOther(f"{LOGIN}?{urlencode({'next': request.GET.get('next', '/admin/')})}")


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001
    """Django's CSRF_FAILURE_VIEW: a form that has expired or was not sent from this site."""
    problem = Problem("forbidden")
    if request.path == LOGIN and for_a_browser(request):
        form = request.POST
        return login_page(request, local_path(form.get("next", ""), OPERATORS_PAGES), form.get("username", ""), problem)
    return refusal(request, problem, None)


def login_page(request: HttpRequest, path: str, username: str = "", problem: Problem | None = None) -> HttpResponse:
    by_key = services_of(request).identity.signs_in
    context: dict[str, Any] = {"next": path, "username": username, "problem": problem, "by_key": by_key}
    status, headers = (problem.status, problem.headers) if problem else (200, {})
    return html(request, "login.html", status, headers, viewer=None, **context)


def for_a_browser(request: HttpRequest) -> bool:
    return "text/html" in request.headers.get("accept", "")


def is_polling(request: HttpRequest) -> bool:
    """Whether htmx asks, for the part of a page that changes."""
    return "hx-request" in request.headers


def to_login(request: HttpRequest) -> HttpResponse:
    if is_polling(request):
        return HttpResponse(status=401, headers={"HX-Redirect": LOGIN})
    wanted = request.get_full_path()
    back = "" if wanted == "/dashboard/" or request.method != "GET" else f"?next={quote(wanted)}"
    return SeeOther(LOGIN + back)


def refusal(request: HttpRequest, problem: Problem, viewer: Viewer | None) -> HttpResponse:
    if not for_a_browser(request):
        return ProblemResponse(problem, request)
    _, words, detail = OUTCOMES[problem.code]
    context = {"viewer": viewer, "words": words, "detail": problem.detail or detail}
    return html(request, "error.html", problem.status, problem.headers, **context)


def html(
    request: HttpRequest, template: str, status: int = 200, headers: dict[str, str] | None = None, **context: object
) -> HttpResponse:
    page = pages.render(template, csrf=csrf_input(request), static=static, cli=CLI, **context)
    return HttpResponse(page, status=status, headers=headers)


def live(request: HttpRequest, template: str, **context: object) -> HttpResponse:
    """A page that is asked for again every two seconds: 304 when nothing has changed."""
    rendered = pages.render_live(
        template,
        known=request.headers.get("if-none-match", ""),
        fragment=is_polling(request),
        csrf=Markup(csrf_input(request)),  # noqa: S704  (it comes escaped)
        static=static,
        cli=CLI,
        here=request.get_full_path(),
        **context,
    )
    status = 304 if rendered.html is None else 200
    return HttpResponse(rendered.html or "", status=status, headers={"ETag": rendered.etag})
