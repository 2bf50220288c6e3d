"""The least a paid ASGI view can do with aiohttp: two bare round trips. No tenants, checks or middleware."""

import json
import os
import sys
import uuid

import aiohttp
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

HOLD = {
    "subject": {"tenant": "acme"},
    "action": {"kind": "llm.completion", "name": "m"},
    "estimate": {"unit": "USD_MICROCENTS", "amount": 256_000},
    "ttl_ms": 60_000,
}
SPENT = {"actual": {"unit": "USD_MICROCENTS", "amount": 2_250}}
sessions: list[aiohttp.ClientSession] = []  # created by the first request: Django has no lifespan


@csrf_exempt
async def chat(request: HttpRequest) -> JsonResponse:
    if not sessions:
        sessions.append(aiohttp.ClientSession(os.environ["CYCLES_BASE_URL"], headers={"X-Cycles-API-Key": "k"}))
    (http,) = sessions
    async with http.post("/v1/reservations", json=HOLD | {"idempotency_key": str(uuid.uuid4())}) as response:
        hold = (await response.json())["reservation_id"]
    commit = SPENT | {"idempotency_key": str(uuid.uuid4())}
    async with http.post(f"/v1/reservations/{hold}/commit", json=commit) as response:
        await response.json()
    return await bare(request)


@csrf_exempt
async def bare(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"reply": f"You said {json.loads(request.body)['prompt']}"})


urlpatterns = [path("api/chat", chat), path("api/bare", bare)]
settings.configure(SECRET_KEY="benchmark", ALLOWED_HOSTS=["*"], ROOT_URLCONF=sys.modules[__name__], MIDDLEWARE=[])
app = get_asgi_application()
