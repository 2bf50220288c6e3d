"""The example feature: answers in one piece and as a stream."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from ..budget.fallbacks import Ladder
from ..budget.hold import Hold, Work
from ..core.config import Settings
from ..core.problems import Problem
from ..llm.provider import Message, Request, is_shown
from ..web.schemas import Money, budget_headers
from ..web.services import Services
from ..web.sse import Frames, encode, open_events
from .schemas import Answer, ChatRequest, PaidRequest, RemainingBudget, StreamEnd, SummarizeRequest, TokenUsage

SUMMARIZE = "Summarize the text of the user in a few sentences."


async def complete(services: Services, work: Work) -> tuple[Answer, dict[str, str]]:
    """Return the answer in one piece, and its headers. Raise Problem if the budget or the provider refuses.

    If the client disconnects, the call still runs to its end and is charged.
    """
    return await services.guard.tasks.finish(_complete(services, work))


async def stream(services: Services, work: Work) -> tuple[Frames, dict[str, str]]:
    """Return the server-sent events, and the headers as of now.

    Raise what fails before the first event, or before the provider took too long for it. Closed early, the stream
    is charged for what the provider has sent.
    """
    holds, ladder = list[Hold](), Ladder(work, services.settings.fallbacks)
    frames = await open_events(_events(services, ladder, holds), work.request_id)
    return frames, budget_headers(holds[-1].remaining, fallback=ladder.fallback)


async def _complete(services: Services, work: Work) -> tuple[Answer, dict[str, str]]:
    ladder = Ladder(work, services.settings.fallbacks)
    while True:
        try:
            async with services.guard.hold(ladder.work) as hold:
                text = await hold.complete(services.provider)
        except Problem as problem:
            ladder.descend(problem)
        else:
            headers = budget_headers(hold.remaining, hold.call.cost, ladder.fallback)
            return Answer(reply=text, **ending(hold)), headers


async def _events(services: Services, ladder: Ladder, holds: list[Hold]) -> AsyncGenerator[bytes]:
    while True:
        try:
            async with services.guard.hold(ladder.work) as hold:
                holds.append(hold)
                if len(holds) == 1:
                    yield b""
                async with aclosing(hold.stream(services.provider)) as items:
                    async for item in items:
                        if hold.ends_by:
                            raise Problem(hold.ends_by)
                        if is_shown(item):
                            yield encode("delta", {"text": item.text})
        except Problem as problem:
            ladder.descend(problem)
        else:
            served = {"fallback": ladder.fallback} if ladder.fallback else {}
            yield encode("done", StreamEnd(**ending(hold)).model_dump() | served)
            return


def summary_of(settings: Settings, tenant: str, body: SummarizeRequest, request_id: str = "") -> Work:
    """Return the guarded call for a summary. Raise Problem invalid_request."""
    messages = (Message("system", SUMMARIZE), Message("user", body.text))
    return replace(work_of(settings, tenant, "summarize", messages, body, request_id), agent="summarizer")


def work_of(
    settings: Settings, tenant: str, route: str, messages: tuple[Message, ...], body: PaidRequest, request_id: str = ""
) -> Work:
    """Return a guarded call, with defaults filled in. Raise Problem unknown_model or invalid_request."""
    model = (body.model if isinstance(body, ChatRequest) else None) or settings.llm_model
    max_tokens = body.max_tokens or settings.llm_max_tokens
    if model not in settings.models:
        raise Problem("unknown_model", f"Available models: {', '.join(settings.models)}.")
    if max_tokens > settings.llm_max_tokens:
        raise Problem("invalid_request", f"max_tokens must be at most {settings.llm_max_tokens}.")
    request = Request(model, messages, max_tokens)
    return Work(tenant=tenant, route=route, request=request, request_id=request_id, end_user=body.end_user)


def ending(hold: Hold) -> dict[str, Any]:
    """Return the members of StreamEnd for a settled call."""
    usage = hold.meter.usage
    return {
        "model": hold.request.model,
        "finish_reason": hold.meter.finish_reason,
        "usage": TokenUsage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens),
        "cost": Money(amount=hold.call.cost),
        "budget": RemainingBudget(remaining=None if hold.remaining is None else Money(amount=hold.remaining)),
    }
