"""The example feature. `complete` and `stream` use the guard; `summarize` shows the SDK's @cycles decorator."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from inspect import unwrap
from typing import Any

from runcycles import CyclesMetrics, CyclesProtocolError, cycles, get_cycles_context

from ..budget.heartbeat import HOLD_TTL_MS
from ..budget.hold import OVERAGE_POLICY, Hold, Work
from ..core.config import Settings
from ..core.problems import Problem
from ..llm.provider import Delta, Message, Request
from ..tenants.caller import Caller
from ..web.schemas import Money
from ..web.services import Services
from .schemas import Answer, BudgetLeft, StreamEnd, SummarizeRequest, TokenUsage

SUMMARIZE = "Summarize the text of the user in a few sentences."
SUMMARIZER = "summarizer"
"""The agent that summaries are booked under."""

Event = tuple[str, dict[str, Any]]
"""The name and the data of a server-sent event."""


class Chat:
    """Answers paid by the caller's tenant. Every method raises Problem when the budget or the provider refuses."""

    def __init__(self, services: Services) -> None:
        self._settings = services.settings
        self._guard = services.guard
        self._provider = services.provider

    def request(
        self, messages: tuple[Message, ...], model: str | None = None, max_tokens: int | None = None
    ) -> Request:
        """Return the request to the model, with the defaults filled in. Raises Problem for what is not offered."""
        return request_to_model(self._settings, messages, model, max_tokens)

    async def complete(self, work: Work) -> Answer:
        """Answer in one piece. A client that leaves does not stop the call: it is made and paid for."""
        return await self._guard.tasks.finish(self._complete(work))

    async def _complete(self, work: Work) -> Answer:
        async with self._guard.hold(work) as hold:
            completion = await self._provider.complete(hold.request)
            hold.meter.add_completion(completion)
        return Answer(reply=completion.text, **end_of(hold))

    async def stream(self, work: Work) -> AsyncGenerator[tuple[Event, Hold]]:
        """The answer's events as they come, `delta` ... `done`, with the hold they are paid from.

        Close it early, and what was yielded so far is charged. It ends by Problem budget_unavailable once its hold can
        no longer be kept (after 11 minutes, or in an outage), for what nobody holds might not be paid, and by
        shutting_down when the process must end.
        """
        async with self._guard.hold(work) as hold, aclosing(self._provider.stream(hold.request)) as items:
            async for item in items:
                hold.meter.add(item)
                if hold.ends_by:
                    raise Problem(hold.ends_by)
                if isinstance(item, Delta) and not item.hidden:
                    yield ("delta", {"text": item.text}), hold
        yield ("done", StreamEnd(**end_of(hold)).model_dump()), hold

    async def summarize(self, work: Work) -> Answer:
        """Same as `complete`, with the SDK's decorator instead of `Guard.hold`."""
        return await self._guard.tasks.finish(self._summarize(work))

    async def _summarize(self, work: Work) -> Answer:
        hold = self._guard.new(work)
        with self._guard.refusing(hold):
            client = await self._guard.client_of(hold)

        # Decorated here, at the call: @cycles keeps its client forever, and this must be the caller's.
        @cycles(
            client=client,
            estimate=hold.call.hold,
            actual=lambda _: hold.charge(),
            action_kind="llm.completion",
            action_name=hold.request.model,
            ttl_ms=HOLD_TTL_MS,
            overage_policy=OVERAGE_POLICY,
            **hold.subject,
        )
        async def summary() -> str:
            context = get_cycles_context()
            hold.restrict(context.caps if context else None)
            with self._guard.asking(hold):
                completion = await self._provider.complete(hold.request)
                hold.meter.add_completion(completion)
            if context:
                context.metrics = CyclesMetrics(**hold.metrics)
            return completion.text

        refused = None
        try:
            text = await summary()
        except CyclesProtocolError:
            refused = await self._guard.refuse(hold, client)
            if refused:
                raise refused from None
            text = await unwrap(summary)()  # served without a hold
        finally:
            if not refused:
                self._guard.settled(hold)
        return Answer(reply=text, **end_of(hold))


def summary_of(settings: Settings, caller: Caller, body: SummarizeRequest, request_id: str = "") -> Work:
    """Return the guarded call that makes a summary. Raises Problem for what is not offered."""
    messages = (Message("system", SUMMARIZE), Message("user", body.text))
    return Work(
        caller=caller,
        route="summarize",
        request=request_to_model(settings, messages, max_tokens=body.max_tokens),
        request_id=request_id,
        end_user=body.end_user,
        agent=SUMMARIZER,
    )


def request_to_model(
    settings: Settings, messages: tuple[Message, ...], model: str | None = None, max_tokens: int | None = None
) -> Request:
    """The request to the model, with the defaults filled in. Raises Problem for what is not offered."""
    model = model or settings.llm_model
    most = settings.llm_max_tokens
    if model not in settings.models:
        raise Problem("unknown_model", f"Offered are: {', '.join(settings.models)}.")
    if max_tokens is not None and max_tokens > most:
        raise Problem("invalid_request", f"max_tokens may be {most} at most.")
    return Request(model, messages, max_tokens or most)


def budget_headers(remaining: int | None, cost: int | None = None) -> dict[str, str]:
    """Return X-Budget-Remaining and X-Budget-Cost in microcents, as far as they are known."""
    figures = {"X-Budget-Remaining": remaining, "X-Budget-Cost": cost}
    return {name: str(figure) for name, figure in figures.items() if figure is not None}


def server_sent(event: Event) -> bytes:
    """One event of `text/event-stream`."""
    name, data = event
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def end_of(hold: Hold) -> dict[str, Any]:
    """The members of StreamEnd for a call that is settled."""
    usage = hold.meter.usage
    return {
        "model": hold.request.model,
        "usage": TokenUsage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens),
        "cost": Money(amount=hold.call.cost),
        "budget": BudgetLeft(remaining=None if hold.remaining is None else Money(amount=hold.remaining)),
    }
