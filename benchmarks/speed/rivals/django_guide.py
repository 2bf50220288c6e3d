"""The wiring of the official Django guide: one client, `decide` in a middleware, `@cycles` at the call."""

import json
import os
import sys
import uuid
from collections.abc import Callable

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from runcycles import (
    Action,
    Amount,
    CyclesClient,
    CyclesConfig,
    DecisionRequest,
    Subject,
    Unit,
    cycles,
    set_default_client,
)

journal = os.environ["CYCLES_JOURNAL_DIR"]
client = CyclesClient(CyclesConfig(os.environ["CYCLES_BASE_URL"], "key", tenant="acme", journal_dir=journal))
set_default_client(client)


def preflight(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    def ask_first(request: HttpRequest) -> HttpResponse:
        verdict = client.decide(
            DecisionRequest(
                idempotency_key=str(uuid.uuid4()),
                subject=Subject(tenant="acme"),
                action=Action(kind="api.request", name="chat"),
                estimate=Amount(unit=Unit.USD_MICROCENTS, amount=1_000_000),
            )
        )
        if verdict.is_success and verdict.get_body_attribute("decision") == "DENY":
            return JsonResponse({"error": "budget_exceeded"}, status=402)
        return get_response(request)

    return ask_first


@cycles(estimate=256_000, actual=lambda _: 2_250, action_kind="llm.completion", action_name="m")
def complete(prompt: str) -> str:
    return f"You said {prompt}"


@csrf_exempt
def chat(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"reply": complete(json.loads(request.body)["prompt"])})


urlpatterns = [path("api/chat", chat)]
settings.configure(
    SECRET_KEY="benchmark",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=sys.modules[__name__],
    MIDDLEWARE=[f"{__name__}.preflight"],
)
app = get_wsgi_application()
