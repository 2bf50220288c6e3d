"""The example feature's routes. To add a guarded route of your own, add one here like `summarize`."""

from collections.abc import AsyncGenerator

from anyio import CancelScope
from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ..budget.hold import Hold, Work
from ..core.problems import Problem
from ..web.dependencies import GuardedRoute, services_of
from ..web.openapi import PAID, STREAMED
from .schemas import Answer, ChatRequest, SummarizeRequest
from .service import Chat, Event, budget_headers, server_sent, summary_of

router = APIRouter(prefix="/api", route_class=GuardedRoute, responses=PAID, tags=["paid"])


@router.post("/chat", response_model=Answer, responses={**PAID, **STREAMED})
async def chat(body: ChatRequest, request: Request) -> Response:
    services = services_of(request)
    work = Work(
        caller=request.state.caller,
        route="chat",
        request=Chat(services).request(body.conversation, body.model, body.max_tokens),
        request_id=request.state.request_id,
        end_user=body.end_user,
    )
    if not body.stream:
        return paid(await Chat(services).complete(work))
    events = Chat(services).stream(work)
    first, hold = await anext(events)  # what fails before the first delta is a plain problem
    return EventStream(_sent(first, events, work.request_id), headers=budget_headers(hold.remaining))


@router.post("/summarize", response_model=Answer)
async def summarize(body: SummarizeRequest, request: Request) -> Response:
    services = services_of(request)
    work = summary_of(services.settings, request.state.caller, body, request.state.request_id)
    return paid(await Chat(services).summarize(work))


def paid(answer: Answer) -> Response:
    """A guarded answer: validated where it was made, so FastAPI need not do it again."""
    remaining = answer.budget.remaining
    headers = budget_headers(remaining.amount if remaining else None, answer.cost.amount)
    return Response(answer.model_dump_json(), headers=headers, media_type="application/json")


class EventStream(StreamingResponse):
    """Server-sent events. Closes its generator however it ends: Starlette leaves that to the garbage collector."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes], headers: dict[str, str]) -> None:
        self._events = events
        super().__init__(events, headers={"X-Accel-Buffering": "no"} | headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with CancelScope(shield=True):
                await self._events.aclose()


async def _sent(first: Event, events: AsyncGenerator[tuple[Event, Hold]], request_id: str) -> AsyncGenerator[bytes]:
    try:
        yield server_sent(first)
        async for event, _ in events:
            yield server_sent(event)
    except Problem as problem:
        yield server_sent(("error", problem.body(request_id)))
    finally:
        await events.aclose()  # settles what was sent
