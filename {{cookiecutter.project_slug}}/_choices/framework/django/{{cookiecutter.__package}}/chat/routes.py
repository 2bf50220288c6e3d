"""The example feature's routes. To add a guarded route of your own, add one here like `summarize`."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja import Router

from ..budget.guard import Hold, Work
from ..dependencies import ApiRequest, paid, services_of
from ..handlers import request_id_of
from ..llm.provider import Message
from ..openapi import PAID, STREAMED
from ..problems import Problem
from . import service_sync
from .schemas import Answer, ChatRequest, SummarizeRequest
from .service import SUMMARIZE, SUMMARIZER, Event, budget_header, server_sent

router = Router(auth=paid, tags=["paid"])


@router.post("/chat", response=Answer, openapi_extra={"responses": {**PAID, **STREAMED}})
async def chat(request: ApiRequest, body: ChatRequest) -> HttpResponseBase:
    services = services_of(request)
    work = Work(
        caller=request.auth,
        route="chat",
        request=services.chat.request(body.conversation, body.model, body.max_tokens),
        request_id=request_id_of(request),
        end_user=body.end_user,
    )
    if not body.stream:
        return answered(await services.chat.complete(work))
    events = services.chat.stream(work)
    first, hold = await anext(events)  # what fails before the first delta is a plain problem
    return EventStream(_sent(first, events, work.request_id), headers=budget_header(hold.remaining))


@router.post("/summarize", response=Answer, openapi_extra={"responses": PAID})
async def summarize(request: ApiRequest, body: SummarizeRequest) -> HttpResponse:
    services = services_of(request)
    messages = (Message("system", SUMMARIZE), Message("user", body.text))
    work = Work(
        caller=request.auth,
        route="summarize",
        request=services.chat.request(messages, max_tokens=body.max_tokens),
        request_id=request_id_of(request),
        end_user=body.end_user,
        agent=SUMMARIZER,
    )
    return answered(await services.chat.summarize(work))


@router.post("/sync/summarize", response=Answer, openapi_extra={"responses": PAID})
def summarize_sync(request: ApiRequest, body: SummarizeRequest) -> HttpResponse:
    """As summarize, in a synchronous view: it takes a thread for as long as the model answers."""
    work = service_sync.summary_of(request.auth, body.text, body.max_tokens, body.end_user, request_id_of(request))
    return answered(service_sync.summarize(work))


def answered(answer: Answer) -> HttpResponse:
    """A guarded answer: validated where it was made, so ninja need not do it again."""
    remaining = answer.budget.remaining
    headers = budget_header(remaining.amount if remaining else None)
    return HttpResponse(answer.model_dump_json(), "application/json", headers=headers)


class EventStream(StreamingHttpResponse):
    """Server-sent events. Closes its generator however it ends: Django leaves that to the garbage collector."""

    def __init__(self, events: AsyncGenerator[bytes], headers: dict[str, str]) -> None:
        self._events = events
        headers = {"X-Accel-Buffering": "no", **headers}
        super().__init__(events, content_type="text/event-stream; charset=utf-8", headers=headers)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async with aclosing(self._events) as events:
            async for event in events:
                yield event


async def _sent(first: Event, events: AsyncGenerator[tuple[Event, Hold]], request_id: str) -> AsyncGenerator[bytes]:
    async with aclosing(events):
        try:
            yield server_sent(first)
            async for event, _ in events:
                yield server_sent(event)
        except Problem as problem:
            yield server_sent(("error", problem.body(request_id)))
