"""Exception handlers: errors become problem details."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from ..core.problems import Problem, code_of_status
from . import schemas
from .errors import body_of


def problem_response(problem: Problem, request: Request, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the response for a problem; `headers` are added to the problem's own."""
    body, media_type = body_of(problem, request.state.request_id, request.url.path)
    return JSONResponse(body, problem.status, headers=(headers or {}) | problem.headers, media_type=media_type)


def add_exception_handlers(app: FastAPI) -> None:
    """Handle the framework's 404, 405 and 422.

    A Problem is handled in dashboard/routes.py, since browsers get a page, and unexpected exceptions in web/edge.py.
    """

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        return problem_response(Problem(code_of_status(error.status_code)), request, dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        found = error.errors()
        if any(item["type"] == "json_invalid" for item in found):
            return problem_response(Problem("invalid_request", "The body is not JSON."), request)
        fields = [(item["loc"][1:] or item["loc"], item["msg"]) for item in found]
        return problem_response(schemas.invalid(fields), request)
