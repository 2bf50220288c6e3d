"""Routes of the dashboard, for operators and tenants."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.routing import APIRoute
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from ..calls.export import calls_as_csv
from ..core.problems import Problem
from ..web import login
from ..web.dependencies import services_of
from ..web.viewer import SignInFirst, Viewer, local_path, ticket_by_key, ticket_by_link
from . import actions, figures, pages
from .pages import LOGIN
from .service import Dashboard


class Page(APIRoute):
    """A route that shows problems as pages to browsers. Its answers are never cached."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                response = await handler(request)
            except SignInFirst:
                response = to_login(request)
            except Problem as problem:
                if not accepts_html(request):
                    raise
                response = html(request, "error.html", problem=problem, viewer=await login.viewer_of(request))
            response.headers["Cache-Control"] = "no-store"
            return response

        return handle


router = APIRouter(route_class=Page, include_in_schema=False)


async def shared_dashboard(request: Request) -> Dashboard:
    dashboard: Dashboard = request.state.dashboard
    return dashboard


async def form_fields(request: Request) -> dict[str, str]:
    return {name: text[:1000] for name, text in (await request.form()).items() if isinstance(text, str)}


async def checked_form(request: Request) -> dict[str, str]:
    """Return a form's fields. Raises Problem forbidden without the CSRF token."""
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
    context = await figures.overview(dashboard, figures.query_of(request.query_params))
    return live(request, "overview.html", viewer=viewer, **context)


@router.get("/dashboard/audit")
async def audit(
    request: Request, dashboard: SharedDashboard, viewer: SignedIn, page: Annotated[int, Query(ge=1, le=100_000)] = 1
) -> Response:
    viewer.check()
    entries = await dashboard.store.audit(None, figures.AUDIT_PER_PAGE, (page - 1) * figures.AUDIT_PER_PAGE)
    return html(request, "audit.html", viewer=viewer, entries=entries, page=page)


@router.get("/dashboard/tenants/{tenant}")
async def tenant(tenant: str, request: Request, dashboard: SharedDashboard, viewer: SignedIn) -> Response:
    viewer.check(tenant)
    context = await figures.tenant_page(dashboard, tenant, for_operator=viewer.is_operator)
    return live(request, "tenant.html", viewer=viewer, actions=actions.ACTIONS, **context)


@router.get("/dashboard/tenants/{tenant}/calls.csv")
async def calls(tenant: str, dashboard: SharedDashboard, viewer: SignedIn) -> Response:
    viewer.check(tenant)
    await figures.check_tenant(dashboard, tenant)
    headers = {"Content-Disposition": f'attachment; filename="calls-{tenant}.csv"'}
    return StreamingResponse(calls_as_csv(dashboard.services.store, tenant), media_type="text/csv", headers=headers)


@router.get("/dashboard/tenants/{tenant}/{verb}")
async def confirm(tenant: str, verb: str, request: Request, dashboard: SharedDashboard, viewer: SignedIn) -> Response:
    viewer.check()
    context = await actions.confirmation(dashboard, tenant, verb)
    return html(request, "action.html", viewer=viewer, **context)


@router.post("/dashboard/tenants/{tenant}/{verb}")
async def act(
    tenant: str, verb: str, request: Request, dashboard: SharedDashboard, viewer: SignedIn, form: CheckedForm
) -> Response:
    viewer.check()
    amount = form.get("amount", "").strip()
    try:
        path = await actions.act(dashboard, viewer.name, tenant, verb, amount, form.get("reference", ""))
    except Problem as error:
        context = await actions.confirmation(dashboard, tenant, verb, amount, error.message)
        return html(request, "action.html", 409, viewer=viewer, **context)
    if path:
        link = f"{str(request.base_url).rstrip('/')}{path}"
        return html(request, "link_made.html", viewer=viewer, tenant=tenant, link=link)
    return see_other(f"/dashboard/tenants/{tenant}")


@router.get("/dashboard/link/{token}")
async def link(request: Request, token: str) -> Response:  # noqa: ARG001
    return html(request, "link.html", viewer=None)


@router.post("/dashboard/link/{token}")
async def follow_link(token: str, request: Request, _: CheckedForm) -> Response:
    await login.sign_in_tenant(request, await ticket_by_link(services_of(request), token, login.address_of(request)))
    return see_other("/dashboard/")


@router.get(LOGIN)
async def login_form(request: Request) -> Response:
    path = local_path(request.query_params.get("next", "")[:1000])
    return login_page(request, path) if await login.viewer_of(request) is None else see_other(path)


@router.post(LOGIN)
async def log_in(request: Request, form: Annotated[dict[str, str], Depends(form_fields)]) -> Response:
    path, username, password, key = (form.get(name, "") for name in ("next", "username", "password", "api_key"))
    path = local_path(path)
    try:
        login.check_csrf(request, form)
        if key:
            ticket = await ticket_by_key(services_of(request), key.strip(), login.address_of(request))
            await login.sign_in_tenant(request, ticket)
        else:
            await login.sign_in(request, username, password)
    except Problem as problem:
        if not accepts_html(request):
            raise
        return login_page(request, path, username, problem)
    return see_other(path)


@router.post("/dashboard/logout")
async def log_out(request: Request, _: CheckedForm) -> Response:
    await login.sign_out(request)
    return see_other(LOGIN)


def accepts_html(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def see_other(path: str) -> Response:
    return RedirectResponse(path, 303)


def login_page(request: Request, path: str, username: str = "", problem: Problem | None = None) -> Response:
    context: dict[str, Any] = {"next": path, "username": username, "by_key": services_of(request).identity.signs_in}
    return html(request, "login.html", problem=problem, viewer=None, **context)


def to_login(request: Request) -> Response:
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={"HX-Redirect": LOGIN})
    return see_other(pages.login_address(path_of(request)) if request.method == "GET" else LOGIN)


def path_of(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def html(
    request: Request, template: str, status: int = 200, problem: Problem | None = None, **context: object
) -> Response:
    page = pages.render(template, csrf=login.csrf_field(request), problem=problem, **context)
    return HTMLResponse(page, problem.status if problem else status, problem.headers if problem else None)


def live(request: Request, template: str, **context: object) -> Response:
    """Return a page that polls every two seconds: 304 if nothing has changed."""
    rendered = pages.render_live(
        template,
        known=request.headers.get("if-none-match", ""),
        fragment="hx-request" in request.headers,
        csrf=login.csrf_field(request),
        here=path_of(request),
        **context,
    )
    return HTMLResponse(rendered.html, 304 if rendered.html is None else 200, {"ETag": rendered.etag})
