"""The pages for operators and tenants."""

import uuid
from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.routing import APIRoute
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from ..calls.export import calls_as_csv
from ..dependencies import SharedServices
from ..problems import OUTCOMES, Problem
from ..tenants.errors import TenantsError
from . import actions, figures, login, pages
from .viewer import SignInFirst, Viewer, local_path, ticket_by_key, ticket_by_link

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

Text = Annotated[str, Form(max_length=1000)]
SignedIn = Annotated[Viewer, Depends(login.signed_in)]


@router.get("/")
@router.get("/dashboard")
async def home() -> Response:
    return RedirectResponse("/dashboard/", 303)


@router.get("/dashboard/")
async def overview(request: Request, services: SharedServices, viewer: SignedIn) -> Response:
    if viewer.tenant is not None:
        return RedirectResponse(f"/dashboard/tenants/{viewer.tenant}", 303)
    shown = await figures.overview(services, figures.wanted_of(request.query_params))
    return live(request, "overview.html", viewer=viewer, overview=shown)


@router.get("/dashboard/audit")
async def audit(
    request: Request, services: SharedServices, viewer: SignedIn, page: Annotated[int, Query(ge=1, le=100_000)] = 1
) -> Response:
    viewer.check()
    return html(request, "audit.html", viewer=viewer, entries=await figures.audit(services, page), page=page)


@router.get("/dashboard/tenants/{tenant}")
async def tenant(tenant: str, request: Request, services: SharedServices, viewer: SignedIn) -> Response:
    viewer.check(tenant)
    shown = await figures.tenant_page(services, tenant, for_operator=viewer.is_operator)
    return live(request, "tenant.html", viewer=viewer, page=shown, actions=actions.ACTIONS)


@router.get("/dashboard/tenants/{tenant}/calls.csv")
async def calls(tenant: str, services: SharedServices, viewer: SignedIn) -> Response:
    viewer.check(tenant)
    if await services.registry.tenant(tenant) is None:
        raise Problem("not_found")
    headers = {"Content-Disposition": f'attachment; filename="calls-{tenant}.csv"'}
    return StreamingResponse(calls_as_csv(services.store, tenant), media_type="text/csv", headers=headers)


@router.get("/dashboard/tenants/{tenant}/{verb}")
async def confirm(tenant: str, verb: str, request: Request, services: SharedServices, viewer: SignedIn) -> Response:
    viewer.check()
    return await action_page(request, viewer, services, tenant, actions.action_of(verb))


@router.post("/dashboard/tenants/{tenant}/{verb}")
async def act(
    tenant: str,
    verb: str,
    request: Request,
    services: SharedServices,
    viewer: SignedIn,
    csrf: Text = "",
    amount: Text = "",
    reference: Text = "",
) -> Response:
    viewer.check()
    login.check_csrf(request, csrf)
    action = actions.action_of(verb)
    try:
        came_of_it = await actions.act(services, viewer.name, tenant, action, amount.strip(), reference)
    except TenantsError as error:
        return await action_page(request, viewer, services, tenant, action, amount, str(error))
    if verb == "link":
        link = f"{str(request.base_url).rstrip('/')}{came_of_it}"
        return html(request, "link_made.html", viewer=viewer, tenant=tenant, link=link)
    return RedirectResponse(f"/dashboard/tenants/{tenant}", 303)


@router.get("/dashboard/link/{token}")
async def link(request: Request, token: str) -> Response:  # noqa: ARG001
    return html(request, "link.html", viewer=None)


@router.post("/dashboard/link/{token}")
async def follow_link(token: str, request: Request, services: SharedServices, csrf: Text = "") -> Response:
    login.check_csrf(request, csrf)
    login.sign_in_tenant(request, await ticket_by_link(services, token, login.address_of(request)))
    return RedirectResponse("/dashboard/", 303)


@router.get("/dashboard/login")
async def login_form(
    request: Request,
    services: SharedServices,
    next: Annotated[str, Query(max_length=1000)] = "",  # noqa: A002
) -> Response:
    path = local_path(next)
    if await login.viewer_of(request) is not None:
        return RedirectResponse(path, 303)
    by_key = services.identity.signs_in
    return html(request, "login.html", viewer=None, by_key=by_key, next=path, username="", problem=None)


@router.post("/dashboard/login")
async def log_in(
    request: Request,
    services: SharedServices,
    username: Text = "",
    password: Text = "",
    api_key: Text = "",
    csrf: Text = "",
    next: Text = "",  # noqa: A002
) -> Response:
    path = local_path(next)
    try:
        login.check_csrf(request, csrf)
        if api_key:
            login.sign_in_tenant(request, await ticket_by_key(services, api_key.strip(), login.address_of(request)))
        else:
            await login.sign_in(request, username, password)
    except Problem as problem:
        if not for_a_browser(request):
            raise
        again: dict[str, Any] = {"viewer": None, "by_key": services.identity.signs_in, "next": path}
        return html(request, "login.html", problem.status, problem.headers, username=username, problem=problem, **again)
    return RedirectResponse(path, 303)


@router.post("/dashboard/logout")
async def log_out(request: Request, csrf: Text = "") -> Response:
    login.check_csrf(request, csrf)
    request.session.clear()
    return RedirectResponse(LOGIN, 303)


async def action_page(
    request: Request,
    viewer: Viewer,
    services: SharedServices,
    tenant: str,
    action: actions.Action,
    amount: str = "",
    fault: str = "",
) -> Response:
    """What is to be confirmed, again with the `fault` if it was refused."""
    row = await services.registry.tenant(tenant)
    if row is None:
        raise Problem("not_found", "There is no such tenant.")
    context: dict[str, Any] = {"viewer": viewer, "tenant": row, "action": action, "amount": amount, "fault": fault}
    context |= {"can": actions.can(action, services.settings), "reference": str(uuid.uuid4())}
    return html(request, "action.html", 409 if fault else 200, **context)


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
