"""The pages for operators and tenants."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request
from fastapi.routing import APIRoute
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from ..calls.export import calls_as_csv
from ..core.problems import OUTCOMES, Problem
from ..web import login
from ..web.dependencies import services_of
from ..web.viewer import SignInFirst, Viewer, local_path, ticket_by_key, ticket_by_link
from . import actions, figures, pages
from .service import Dashboard

CLI = f"python -m {__name__.partition('.')[0]}"
"""What the pages tell operators to type."""

LOGIN = "/dashboard/login"


class Page(APIRoute):
    """A route whose refusals browsers see as a page; other clients get problem details. Nothing of it is cached."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                response = await handler(request)
            except SignInFirst:
                response = to_login(request)
            except Problem as problem:
                if not for_a_browser(request):
                    raise
                response = await refusal(request, problem)
            response.headers["Cache-Control"] = "no-store"
            return response

        return handle


router = APIRouter(route_class=Page, include_in_schema=False)


async def shared_dashboard(request: Request) -> Dashboard:
    dashboard: Dashboard = request.state.dashboard
    return dashboard


async def fields_of(request: Request) -> dict[str, str]:
    """What a form has sent, as text."""
    return {name: text[:1000] for name, text in (await request.form()).items() if isinstance(text, str)}


async def confirmed(request: Request) -> dict[str, str]:
    """What one of our own forms has sent. Raises Problem forbidden."""
    fields = await fields_of(request)
    login.check_csrf(request, fields)
    return fields


SharedDashboard = Annotated[Dashboard, Depends(shared_dashboard)]
SignedIn = Annotated[Viewer, Depends(login.signed_in)]
Confirmed = Annotated[dict[str, str], Depends(confirmed)]


@router.get("/")
@router.get("/dashboard")
async def home() -> Response:
    return RedirectResponse("/dashboard/", 303)


@router.get("/dashboard/")
async def overview(request: Request, dashboard: SharedDashboard, viewer: SignedIn) -> Response:
    if viewer.tenant is not None:
        return RedirectResponse(f"/dashboard/tenants/{viewer.tenant}", 303)
    shown = await figures.overview(dashboard, figures.wanted_of(request.query_params))
    return live(request, "overview.html", viewer=viewer, **shown)


@router.get("/dashboard/audit")
async def audit(
    request: Request, dashboard: SharedDashboard, viewer: SignedIn, page: Annotated[int, Query(ge=1, le=100_000)] = 1
) -> Response:
    viewer.check()
    return html(request, "audit.html", viewer=viewer, entries=await figures.audit(dashboard, page), page=page)


@router.get("/dashboard/tenants/{tenant}")
async def tenant(tenant: str, request: Request, dashboard: SharedDashboard, viewer: SignedIn) -> Response:
    viewer.check(tenant)
    shown = await figures.tenant_page(dashboard, tenant, for_operator=viewer.is_operator)
    return live(request, "tenant.html", viewer=viewer, actions=actions.ACTIONS, **shown)


@router.get("/dashboard/tenants/{tenant}/calls.csv")
async def calls(tenant: str, dashboard: SharedDashboard, viewer: SignedIn) -> Response:
    viewer.check(tenant)
    await figures.tenant_of(dashboard, tenant)
    headers = {"Content-Disposition": f'attachment; filename="calls-{tenant}.csv"'}
    return StreamingResponse(calls_as_csv(dashboard.services.store, tenant), media_type="text/csv", headers=headers)


@router.get("/dashboard/tenants/{tenant}/{verb}")
async def confirm(tenant: str, verb: str, request: Request, dashboard: SharedDashboard, viewer: SignedIn) -> Response:
    viewer.check()
    asked = await actions.confirmation(dashboard, tenant, actions.action_of(verb))
    return html(request, "action.html", viewer=viewer, **asked)


@router.post("/dashboard/tenants/{tenant}/{verb}")
async def act(
    tenant: str, verb: str, request: Request, dashboard: SharedDashboard, viewer: SignedIn, form: Confirmed
) -> Response:
    viewer.check()
    action, amount = actions.action_of(verb), form.get("amount", "").strip()
    try:
        came_of_it = await actions.act(dashboard, viewer.name, tenant, action, amount, form.get("reference", ""))
    except Problem as problem:
        asked = await actions.confirmation(dashboard, tenant, action, amount, problem.message)
        return html(request, "action.html", 409, viewer=viewer, **asked)
    if verb == "link":
        link = f"{str(request.base_url).rstrip('/')}{came_of_it}"
        return html(request, "link_made.html", viewer=viewer, tenant=tenant, link=link)
    return RedirectResponse(f"/dashboard/tenants/{tenant}", 303)


@router.get("/dashboard/link/{token}")
async def link(request: Request, token: str) -> Response:  # noqa: ARG001
    return html(request, "link.html", viewer=None)


@router.post("/dashboard/link/{token}")
async def follow_link(token: str, request: Request, _: Confirmed) -> Response:
    await login.sign_in_tenant(request, await ticket_by_link(services_of(request), token, login.address_of(request)))
    return RedirectResponse("/dashboard/", 303)


@router.get(LOGIN)
async def login_form(request: Request) -> Response:
    path = local_path(request.query_params.get("next", "")[:1000])
    return login_page(request, path) if await login.viewer_of(request) is None else RedirectResponse(path, 303)


@router.post(LOGIN)
async def log_in(request: Request, form: Annotated[dict[str, str], Depends(fields_of)]) -> Response:
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
        if not for_a_browser(request):
            raise
        return login_page(request, path, username, problem)
    return RedirectResponse(path, 303)


@router.post("/dashboard/logout")
async def log_out(request: Request, _: Confirmed) -> Response:
    await login.sign_out(request)
    return RedirectResponse(LOGIN, 303)


def login_page(request: Request, path: str, username: str = "", problem: Problem | None = None) -> Response:
    by_key = services_of(request).identity.signs_in
    context: dict[str, Any] = {"next": path, "username": username, "problem": problem, "by_key": by_key}
    status, headers = (problem.status, problem.headers) if problem else (200, {})
    return html(request, "login.html", status, headers, viewer=None, **context)


def for_a_browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def is_polling(request: Request) -> bool:
    """Whether htmx asks, for the part of a page that changes."""
    return "hx-request" in request.headers


def to_login(request: Request) -> Response:
    if is_polling(request):
        return Response(status_code=401, headers={"HX-Redirect": LOGIN})
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = "" if wanted == "/dashboard/" or request.method != "GET" else f"?next={quote(wanted)}"
    return RedirectResponse(LOGIN + back, 303)


async def refusal(request: Request, problem: Problem) -> Response:
    _, words, detail = OUTCOMES[problem.code]
    context = {"viewer": await login.viewer_of(request), "words": words, "detail": problem.detail or detail}
    return html(request, "error.html", problem.status, problem.headers, **context)


def html(
    request: Request, template: str, status: int = 200, headers: dict[str, str] | None = None, **context: object
) -> Response:
    page = pages.render(template, csrf=login.csrf_field(request), cli=CLI, **context)
    return HTMLResponse(page, status, headers)


def live(request: Request, template: str, **context: object) -> Response:
    """A page that is asked for again every two seconds: 304 when nothing has changed."""
    rendered = pages.render_live(
        template,
        known=request.headers.get("if-none-match", ""),
        fragment=is_polling(request),
        csrf=login.csrf_field(request),
        cli=CLI,
        here=f"{request.url.path}?{request.url.query}",
        **context,
    )
    return HTMLResponse(rendered.html, 304 if rendered.html is None else 200, {"ETag": rendered.etag})
