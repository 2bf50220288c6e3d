"""Routes of the example feature. To add a paid route, copy `summarize`."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from ..web.dependencies import GuardedRoute, services_of, tenant_of
from ..web.openapi import PAID, STREAMED
from ..web.schemas import budget_headers
from ..web.streaming import EventStream, unless_left
from .agent import Agent
from .schemas import AgentAnswer, AgentRequest, Answer, ChatRequest, SummarizeRequest
from .service import Chat, summary_of, work_of

router = APIRouter(prefix="/api", route_class=GuardedRoute, responses=PAID, tags=["paid"])


@router.post("/chat", response_model=Answer, responses={**PAID, **STREAMED})
async def chat(body: ChatRequest, request: Request) -> Response:
    services, tenant, request_id = services_of(request), await tenant_of(request), request.state.request_id
    work = work_of(services.settings, tenant, "chat", body.conversation, body, request_id=request_id, model=body.model)
    if not body.stream:
        return answered(*await Chat(services).complete(work))
    opened = await unless_left(request, Chat(services).stream(work))
    if opened is None:
        return Response()  # nobody reads it
    events, remaining, fallback = opened
    return EventStream(events, headers=budget_headers(remaining, fallback=fallback))


@router.post("/summarize", response_model=Answer)
async def summarize(body: SummarizeRequest, request: Request) -> Response:
    services, tenant = services_of(request), await tenant_of(request)
    work = summary_of(services.settings, tenant, body, request.state.request_id)
    return answered(*await Chat(services).complete(work))


@router.post("/agent", response_model=AgentAnswer)
async def agent(body: AgentRequest, request: Request) -> Response:
    services, tenant = services_of(request), await tenant_of(request)
    done = await unless_left(request, Agent(services, tenant, body, request.state.request_id).answer())
    if done is None:
        return Response()  # nobody reads it
    answer, remaining = done
    headers = budget_headers(remaining, answer.cost.amount)
    return Response(answer.model_dump_json(), headers=headers, media_type="application/json")


def answered(answer: Answer, fallback: str | None) -> Response:
    """Return the response for an answer. Spares FastAPI from validating it again."""
    remaining = answer.budget.remaining
    headers = budget_headers(remaining.amount if remaining else None, answer.cost.amount, fallback)
    return Response(answer.model_dump_json(), headers=headers, media_type="application/json")
