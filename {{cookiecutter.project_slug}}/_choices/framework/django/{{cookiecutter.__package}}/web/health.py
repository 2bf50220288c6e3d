"""Routes for load balancers and Prometheus."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from ninja import Router

from ..core.metrics import check_token, exposition
from .dependencies import services_of

router = Router(tags=["operation"])

NOT_READY = {"responses": {503: {"description": "Not ready"}}}


@router.get("/healthz", response=dict[str, str])
async def alive(request: HttpRequest) -> dict[str, str]:  # noqa: ARG001
    """Return that the process is up. Check nothing else: a restart would not repair Cycles."""
    return {"status": "ok"}


@router.get("/readyz", response=dict[str, object], openapi_extra=NOT_READY)
async def ready(request: HttpRequest) -> HttpResponse:
    """Return whether the app can serve. What it needs is asked at most once a second."""
    services = services_of(request)
    checks, last = await services.readiness.checks(), services.housekeeping.last_success
    body = {"checks": checks, "housekeeping": last.isoformat() if last else None}
    return JsonResponse(body, status=200 if set(checks.values()) == {"ok"} else 503)


@router.get("/metrics", include_in_schema=False)
async def metrics(request: HttpRequest) -> HttpResponse:
    services = services_of(request)
    check_token(services.settings.metrics_token, request.headers.get("authorization", ""))
    services.outbox.backlog()  # sets its metrics
    return HttpResponse(exposition(), content_type="text/plain; version=0.0.4; charset=utf-8")
