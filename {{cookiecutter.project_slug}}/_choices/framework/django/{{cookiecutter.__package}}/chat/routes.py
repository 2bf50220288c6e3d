"""Routes of the example feature. Add a paid route of your own like `summarize`."""

from django.conf import settings
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from ninja import Router
from pydantic import BaseModel

from ..web import sync
from ..web.dependencies import ApiRequest, paid, services_of
from ..web.handlers import request_id_of
from ..web.openapi import PAID
from ..web.streaming import EventStream
from .agent import Agent
from .schemas import AgentAnswer, AgentRequest, Answer, ChatRequest, SummarizeRequest
from .service import complete, stream, summary_of, work_of

router = Router(auth=paid, tags=["paid"])


@router.post("/chat", response=Answer, openapi_extra={"responses": PAID})
async def chat(request: ApiRequest, body: ChatRequest) -> HttpResponseBase:
    """Answer a prompt or a conversation, with `stream` as server-sent events."""
    services = services_of(request)
    work = work_of(services.settings, request.auth, "chat", body.conversation, body, request_id_of(request))
    if not body.stream:
        return answered(*await complete(services, work))
    return EventStream(*await stream(services, work))


@router.post("/summarize", response=Answer, openapi_extra={"responses": PAID})
async def summarize(request: ApiRequest, body: SummarizeRequest) -> HttpResponse:
    """Summarize a text."""
    work = summary_of(settings.ENV, request.auth, body, request_id_of(request))
    return answered(*await complete(services_of(request), work))


@router.post("/sync/summarize", response=Answer, openapi_extra={"responses": PAID})
def summarize_sync(request: ApiRequest, body: SummarizeRequest) -> HttpResponse:
    """Summarize in a synchronous view. It takes a thread for as long as the model answers."""
    work = summary_of(settings.ENV, request.auth, body, request_id_of(request))
    return answered(*sync.call(lambda services: complete(services, work)))


@router.post("/agent", response=AgentAnswer, openapi_extra={"responses": PAID})
async def agent(request: ApiRequest, body: AgentRequest) -> HttpResponse:
    """Work on a task with tools, until it is done or `limit` can't pay the next step."""
    return answered(*await Agent(services_of(request), request.auth, body, request_id_of(request)).answer())


def answered(answer: BaseModel, headers: dict[str, str]) -> HttpResponse:
    """Return the response of a paid route. The answer is valid, so ninja need not validate it again."""
    return HttpResponse(answer.model_dump_json(), "application/json", headers=headers)
