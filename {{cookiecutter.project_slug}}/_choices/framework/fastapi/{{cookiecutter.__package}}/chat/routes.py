"""Routes of the example feature. To add a paid route, copy `summarize`."""

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from ..web.dependencies import GuardedRoute, services_of, tenant_of
from ..web.openapi import PAID
from ..web.streaming import EventStream, unless_left
from .agent import Agent
from .schemas import AgentAnswer, AgentRequest, Answer, ChatRequest, SummarizeRequest
from .service import complete, stream, summary_of, work_of

router = APIRouter(prefix="/api", route_class=GuardedRoute, responses=PAID, tags=["paid"])


@router.post("/chat", response_model=Answer)
async def chat(body: ChatRequest, request: Request) -> Response:
    """Answer a prompt or a conversation, with `stream` as server-sent events."""
    services, tenant, request_id = services_of(request), await tenant_of(request), request.state.request_id
    work = work_of(services.settings, tenant, "chat", body.conversation, body, request_id)
    if not body.stream:
        return answered(*await complete(services, work))
    opened = await unless_left(request.receive, stream(services, work))
    return EventStream(*opened) if opened else Response()  # nobody reads it


@router.post("/summarize", response_model=Answer)
async def summarize(body: SummarizeRequest, request: Request) -> Response:
    """Summarize a text."""
    services, tenant = services_of(request), await tenant_of(request)
    work = summary_of(services.settings, tenant, body, request.state.request_id)
    return answered(*await complete(services, work))


@router.post("/agent", response_model=AgentAnswer)
async def agent(body: AgentRequest, request: Request) -> Response:
    """Work on a task with tools, until it is done or `limit` can't pay the next step."""
    services, tenant = services_of(request), await tenant_of(request)
    done = await unless_left(request.receive, Agent(services, tenant, body, request.state.request_id).answer())
    return answered(*done) if done else Response()  # nobody reads it


def answered(answer: BaseModel, headers: dict[str, str]) -> Response:
    """Return the response for an answer. Spares FastAPI from validating it again."""
    return Response(answer.model_dump_json(), headers=headers, media_type="application/json")
