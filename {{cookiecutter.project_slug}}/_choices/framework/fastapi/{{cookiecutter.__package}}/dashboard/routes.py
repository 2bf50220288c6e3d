"""The pages for operators."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request
from fastapi.routing import APIRoute
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ..dependencies import SharedServices
from ..problems import OUTCOMES, Problem
from . import figures, login
from .attempts import local_path

CLI = f"python -m {__name__.partition('.')[0]}"
"""What the pages tell operators to type."""


class Page(APIRoute):
    """A route whose refusals browsers see as a page; other clients get problem details. Nothing of it is cached."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                response = await handler(request)
            except Problem as problem:
                if "text/html" not in request.headers.get("accept", ""):
                    raise
                response = await refusal(request, problem)
            response.headers["Cache-Control"] = "no-store"
            return response

        return handle


router = APIRouter(route_class=Page, include_in_schema=False)

Text = Annotated[str, Form(max_length=1000)]


@router.get("/")
@router.get("/dashboard")
async def home() -> Response:
    return RedirectResponse("/dashboard/", 303)


@router.get("/dashboard/")
async def overview(
    request: Request,
    services: SharedServices,
    q: Annotated[str, Query(max_length=200)] = "",
    page: int = 1,
) -> Response:
    if (operator := await login.current_operator(request)) is None:
        return to_login(request)
    return html(request, "overview.html", operator=operator, overview=await figures.overview(services, q, page))


@router.get("/dashboard/tenants/{tenant}")
async def tenant(tenant: str, request: Request, services: SharedServices) -> Response:
    if (operator := await login.current_operator(request)) is None:
        return to_login(request)
    return html(request, "tenant.html", operator=operator, page=await figures.tenant_page(services, tenant))


@router.get("/dashboard/login")
async def login_form(request: Request, next: Annotated[str, Query(max_length=1000)] = "") -> Response:  # noqa: A002
    path = local_path(next)
    if await login.current_operator(request) is not None:
        return RedirectResponse(path, 303)
    return html(request, "login.html", operator=None, next=path, username="", problem=None)


@router.post("/dashboard/login")
async def log_in(
    request: Request,
    username: Text = "",
    password: Text = "",
    csrf: Text = "",
    next: Text = "",  # noqa: A002
) -> Response:
    path = local_path(next)
    try:
        login.check_csrf(request, csrf)
        await login.sign_in(request, username, password)
    except Problem as problem:
        if "text/html" not in request.headers.get("accept", ""):
            raise
        context = {"operator": None, "next": path, "username": username, "problem": problem}
        return html(request, "login.html", problem.status, problem.headers, **context)
    return RedirectResponse(path, 303)


@router.post("/dashboard/logout")
async def log_out(request: Request, csrf: Text = "") -> Response:
    login.check_csrf(request, csrf)
    request.session.clear()
    return RedirectResponse("/dashboard/login", 303)


def to_login(request: Request) -> Response:
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = "" if wanted == "/dashboard/" else f"?next={quote(wanted)}"
    return RedirectResponse(f"/dashboard/login{back}", 303)


async def refusal(request: Request, problem: Problem) -> Response:
    _, words, detail = OUTCOMES[problem.code]
    operator = await login.current_operator(request)
    context = {"operator": operator, "words": words, "detail": problem.detail or detail}
    return html(request, "error.html", problem.status, problem.headers, **context)


def html(
    request: Request, template: str, status: int = 200, headers: dict[str, str] | None = None, **context: object
) -> Response:
    page = figures.render(template, csrf=login.csrf_field(request), cli=CLI, **context)
    return HTMLResponse(page, status, headers)
