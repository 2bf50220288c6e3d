"""Routes of the dashboard, for operators and tenants."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from ..calls.export import calls_as_csv
from ..core.problems import Problem
from ..web import login
from ..web.edge import API
from ..web.handlers import problem_response
from ..web.viewer import SignInFirst, Viewer, local_path
from . import actions, calls, figures, pages
from .pages import LOGIN
from .query import TenantQuery
from .service import Dashboard

router = APIRouter(include_in_schema=False)


async def shared_dashboard(request: Request) -> Dashboard:
    dashboard: Dashboard = request.state.dashboard
    return dashboard


async def form_fields(request: Request) -> dict[str, str]:
    return {name: text[:1000] for name, text in (await request.form()).items() if isinstance(text, str)}


async def checked_form(request: Request) -> dict[str, str]:
    """Return a form's fields. Raise Problem forbidden without the CSRF token."""
    fields = await form_fields(request)
    login.check_csrf(request, fields)
    return fields


SharedDashboard = Annotated[Dashboard, Depends(shared_dashboard)]
SignedIn = Annotated[Viewer, Depends(login.signed_in)]
CheckedForm = Annotated[dict[str, str], Depends(checked_form)]


@router.get("/")
@router.get("/dashboard")
async def home() -> Response:
    return see_other("/dashboard/")


@router.get("/dashboard/")
async def overview(request: Request, dashboard: SharedDashboard, viewer: SignedIn) -> Response:
    if viewer.tenant is not None:
        return see_other(f"/dashboard/tenants/{viewer.tenant}")
    context = await figures.overview(dashboard, TenantQuery.of(request.query_params))
    return html(request, "overview.html", viewer, **context)


@router.get("/dashboard/audit")
async def audit(request: Request, dashboard: SharedDashboard, viewer: SignedIn) -> Response:
    viewer.check()
    query = TenantQuery.of(request.query_params)
    entries = await dashboard.store.audit(query, figures.AUDIT_PER_PAGE)
    return html(request, "audit.html", viewer, entries=entries, query=query)


@router.get("/dashboard/tenants/{tenant}")
async def tenant(tenant: str, request: Request, dashboard: SharedDashboard, viewer: SignedIn) -> Response:
    viewer.check(tenant)
    query = TenantQuery.of(request.query_params)
    return html(request, "tenant.html", viewer, **await figures.tenant_page(dashboard, tenant, query))


@router.get("/dashboard/calls")
async def call_list(request: Request, dashboard: SharedDashboard, viewer: SignedIn) -> Response:
    query = calls.query_of(viewer, request.query_params)
    return html(request, "calls.html", viewer, **await calls.call_list(dashboard, query))


@router.get("/dashboard/calls/{call}")
async def one_call(call: str, request: Request, dashboard: SharedDashboard, viewer: SignedIn) -> Response:
    return html(request, "call.html", viewer, **await calls.one_call(dashboard, viewer, call))


@router.get("/dashboard/calls.csv")
@router.get("/dashboard/tenants/{tenant}/calls.csv")
async def calls_csv(request: Request, dashboard: SharedDashboard, viewer: SignedIn) -> Response:
    query = calls.query_of(viewer, {**request.query_params, **request.path_params})
    if query.tenant:
        await figures.find_budget(dashboard, query.tenant)
    headers = {"Content-Disposition": f'attachment; filename="calls-{query.tenant or "all"}.csv"'}
    return StreamingResponse(calls_as_csv(dashboard.services.store, query), media_type="text/csv", headers=headers)


@router.get("/dashboard/tenants/{tenant}/{verb}")
async def confirm(tenant: str, verb: str, request: Request, dashboard: SharedDashboard, viewer: SignedIn) -> Response:
    viewer.check()
    return html(request, "action.html", viewer, **await actions.confirmation(dashboard, tenant, verb))


@router.post("/dashboard/tenants/{tenant}/{verb}")
async def act(
    tenant: str, verb: str, request: Request, dashboard: SharedDashboard, viewer: SignedIn, form: CheckedForm
) -> Response:
    viewer.check()
    amount, reference = form.get("amount", ""), form.get("reference", "")
    context = await actions.confirmation(dashboard, tenant, verb, amount)
    try:
        path, message = await actions.act(dashboard, viewer.name, context, reference)
    except Problem as problem:
        return html(request, "action.html", viewer, problem=problem, **context)
    if not path:
        request.session["flash"] = [message]
        return see_other(f"/dashboard/tenants/{tenant}")
    link = f"{str(request.base_url).rstrip('/')}{path}"
    return html(request, "link_made.html", viewer, tenant=tenant, link=link)


@router.get("/dashboard/link/{token}")
async def link(request: Request, token: str) -> Response:  # noqa: ARG001
    return html(request, "link.html")


@router.post("/dashboard/link/{token}")
async def follow_link(token: str, request: Request, _: CheckedForm) -> Response:
    await login.follow_link(request, token)
    return see_other("/dashboard/")


@router.get(LOGIN)
async def login_form(request: Request) -> Response:
    return await login_page(request)


@router.post(LOGIN)
async def log_in(request: Request, form: CheckedForm) -> Response:
    await login.sign_in(request, form.get("username", ""), form.get("password", ""))
    return see_other(local_path(form.get("next", "")))


@router.post("/dashboard/logout")
async def log_out(request: Request, _: CheckedForm) -> Response:
    await login.sign_out(request)
    return see_other(LOGIN)


def see_other(path: str) -> Response:
    return RedirectResponse(f"{pages.templates.globals['root']}{path}", 303)


def add_exception_handlers(app: FastAPI) -> None:
    """Handle a Problem of any route, a path that no route has, and a page that needs a login."""
    app.exception_handler(Problem)(refused)
    app.exception_handler(404)(nowhere)
    app.exception_handler(SignInFirst)(to_login)


async def refused(request: Request, problem: Problem) -> Response:
    """Handle a problem of any route: browsers get a page."""
    path = request.url.path
    if f"{path}/".startswith(API) or "text/html" not in request.headers.get("accept", ""):
        return problem_response(problem, request)
    if path == LOGIN:
        return await login_page(request, problem)
    return html(request, "error.html", await login.viewer_of(request), problem=problem)


async def nowhere(request: Request, _: Exception) -> Response:
    """Handle a path that no route has."""
    return await refused(request, Problem("not_found"))


async def to_login(request: Request, _: Exception) -> Response:
    """Handle SignInFirst."""
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Refresh": "true"})
    path = f"{request.url.path}?{request.url.query}".rstrip("?")
    return see_other(f"{LOGIN}?next={quote(path)}")


async def login_page(request: Request, problem: Problem | None = None) -> Response:
    sent = {**request.query_params, **await form_fields(request)}
    return html(request, "login.html", problem=problem, form=sent)


def html(
    request: Request, template: str, viewer: Viewer | None = None, problem: Problem | None = None, **context: object
) -> Response:
    context |= {"viewer": viewer, "csrf": login.csrf_field(request), "flash": lambda: request.session.pop("flash", ())}
    return HTMLResponse(*pages.render(template, request.headers, problem, **context))
