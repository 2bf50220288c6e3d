"""Routes for load balancers and Prometheus."""

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from ..core.metrics import check_token, exposition
from .dependencies import services_of

router = APIRouter(tags=["operation"])


@router.get("/healthz")
async def alive() -> dict[str, str]:
    """Return that the process is up. Check nothing else: a restart would not repair Cycles."""
    return {"status": "ok"}


@router.get("/readyz", responses={503: {"description": "Not ready"}})
async def ready(request: Request) -> JSONResponse:
    """Return whether the app can serve. What it needs is asked at most once a second."""
    services = services_of(request)
    checks, last = await services.readiness.checks(), services.housekeeping.last_success
    body = {"checks": checks, "housekeeping": last.isoformat() if last else None}
    return JSONResponse(body, 200 if set(checks.values()) == {"ok"} else 503)


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    services = services_of(request)
    check_token(services.settings.metrics_token, request.headers.get("authorization", ""))
    services.outbox.backlog()  # sets its metrics
    return Response(exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")
