"""The wiring of the official FastAPI guide: one client, `decide` in a middleware, `@cycles` at the call."""

import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from runcycles import (
    Action,
    Amount,
    AsyncCyclesClient,
    CyclesConfig,
    DecisionRequest,
    Subject,
    Unit,
    cycles,
    set_default_client,
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    journal = os.environ["CYCLES_JOURNAL_DIR"]
    config = CyclesConfig(os.environ["CYCLES_BASE_URL"], "key", tenant="acme", journal_dir=journal)
    async with AsyncCyclesClient(config) as app.state.client:
        set_default_client(app.state.client)
        yield


app = FastAPI(lifespan=lifespan)


@app.middleware("http")
async def preflight(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    verdict = await request.app.state.client.decide(
        DecisionRequest(
            idempotency_key=str(uuid.uuid4()),
            subject=Subject(tenant="acme"),
            action=Action(kind="api.request", name="chat"),
            estimate=Amount(unit=Unit.USD_MICROCENTS, amount=1_000_000),
        )
    )
    if verdict.is_success and verdict.get_body_attribute("decision") == "DENY":
        return JSONResponse({"error": "budget_exceeded"}, status_code=402)
    return await call_next(request)


@cycles(estimate=256_000, actual=lambda _: 2_250, action_kind="llm.completion", action_name="m")
async def complete(prompt: str) -> str:
    return f"You said {prompt}"


@app.post("/api/chat")
async def chat(body: dict[str, Any]) -> dict[str, str]:
    return {"reply": await complete(body["prompt"])}
