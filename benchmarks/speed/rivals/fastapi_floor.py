"""The least a paid route can do with aiohttp: two bare round trips. No tenants, checks or outbox."""

import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from fastapi import FastAPI

HOLD = {
    "subject": {"tenant": "acme"},
    "action": {"kind": "llm.completion", "name": "m"},
    "estimate": {"unit": "USD_MICROCENTS", "amount": 256_000},
    "ttl_ms": 60_000,
}
SPENT = {"actual": {"unit": "USD_MICROCENTS", "amount": 2_250}}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = os.environ["CYCLES_BASE_URL"]
    async with aiohttp.ClientSession(url, headers={"X-Cycles-API-Key": "k"}) as app.state.http:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/api/chat")
async def chat(body: dict[str, Any]) -> dict[str, str]:
    http: aiohttp.ClientSession = app.state.http
    async with http.post("/v1/reservations", json=HOLD | {"idempotency_key": str(uuid.uuid4())}) as response:
        hold = (await response.json())["reservation_id"]
    commit = SPENT | {"idempotency_key": str(uuid.uuid4())}
    async with http.post(f"/v1/reservations/{hold}/commit", json=commit) as response:
        await response.json()
    return {"reply": f"You said {body['prompt']}"}


@app.post("/api/bare")
async def bare(body: dict[str, Any]) -> dict[str, str]:
    return {"reply": f"You said {body['prompt']}"}
