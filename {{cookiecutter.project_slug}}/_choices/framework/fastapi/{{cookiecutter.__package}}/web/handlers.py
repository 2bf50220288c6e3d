"""Every refusal and failure becomes problem details here."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from ..core.problems import MEDIA_TYPE, Problem, code_of_status


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE


def problem_response(problem: Problem, request_id: str, headers: dict[str, str] | None = None) -> ProblemResponse:
    """The response for a problem; `headers` are added to the problem's own."""
    return ProblemResponse(problem.body(request_id), problem.status, headers=(headers or {}) | problem.headers)


def add_exception_handlers(app: FastAPI) -> None:
    """Ours, and the framework's own 404, 405 and 422. What nobody expects reaches edge.py."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def _problem(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, Problem)  # noqa: S101  (Starlette's handlers are typed for any exception)
    return problem_response(error, request.state.request_id)


async def _invalid(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    # not the input itself: it may be anything, a secret or text that no encoder takes
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        return problem_response(Problem("invalid_request", "The body is not JSON."), request.state.request_id)
    errors = [{"at": _place(item["loc"]), "message": item["msg"]} for item in found]
    detail = "; ".join(f"{item['at']}: {item['message']}" for item in errors[:3])
    return problem_response(Problem("invalid_request", detail, members={"errors": errors}), request.state.request_id)


async def _http(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)  # noqa: S101
    problem = Problem(code_of_status(error.status_code))
    return problem_response(problem, request.state.request_id, dict(error.headers or {}))


def _place(location: tuple[Any, ...]) -> str:
    path = ".".join(str(part).encode("ascii", "replace").decode() for part in location[1:])
    return path or str(location[0])
