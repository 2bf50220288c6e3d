"""The example feature. `complete` and `stream` use the guard; `summarize` shows the SDK's @cycles decorator."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from inspect import unwrap
from typing import Any

from runcycles import CyclesContext, CyclesMetrics, CyclesProtocolError, Subject, cycles, get_cycles_context

from ..budget.clients import Clients
from ..budget.guard import HOLD_TTL_MS, OVERAGE_POLICY, Guard, Hold, Work, capped, provider_problem
from ..budget.prices import Prices
from ..llm.provider import Completion, Delta, Message, Provider, ProviderError, Request
from ..problems import Problem
from ..settings import Settings
from .schemas import Answer, BudgetLeft, Money, StreamEnd, TokenUsage

SUMMARIZE = "Summarize the text of the user in a few sentences."
SUMMARIZER = "summarizer"
"""The agent that summaries are booked under."""

Event = tuple[str, dict[str, Any]]
"""The name and the data of a server-sent event."""


class Chat:
    """Answers paid by the caller's tenant. Every method raises Problem when the budget or the provider refuses."""

    def __init__(self, settings: Settings, guard: Guard, clients: Clients, provider: Provider, prices: Prices) -> None:
        self._settings = settings
        self._guard = guard
        self._clients = clients
        self._provider = provider
        self._prices = prices

    def request(
        self, messages: tuple[Message, ...], model: str | None = None, max_tokens: int | None = None
    ) -> Request:
        """As `request_to_model`."""
        return request_to_model(self._settings, messages, model, max_tokens)

    async def complete(self, work: Work) -> Answer:
        """One answer in one piece. A client that leaves meanwhile does not stop it: the call is made and paid for."""
        answer: Answer = await self._guard.unbroken(self._complete(work))
        return answer

    async def _complete(self, work: Work) -> Answer:
        async with self._guard.hold(work) as hold:
            completion = await self._provider.complete(hold.request)
            hold.add_completion(completion)
        return Answer(reply=completion.text, **end_of(hold))

    async def stream(self, work: Work) -> AsyncGenerator[tuple[Event, Hold]]:
        """The answer's events as they come, `delta` ... `done`, with the hold they are paid from.

        Close it early, and what was yielded so far is charged. It ends by Problem budget_unavailable once its hold can
        no longer be kept (after 11 minutes, or in an outage), for what nobody holds might not be paid, and by
        shutting_down when the process must end.
        """
        async with self._guard.hold(work) as hold, aclosing(self._provider.stream(hold.request)) as items:
            async for item in items:
                hold.add(item)
                if hold.ends_by:
                    raise Problem(hold.ends_by)
                if isinstance(item, Delta) and not item.hidden:
                    yield ("delta", {"text": item.text}), hold
        yield ("done", StreamEnd(**end_of(hold)).model_dump()), hold

    async def summarize(self, work: Work) -> Answer:
        """As `complete`, in the SDK's decorator form."""
        answer: Answer = await self._guard.unbroken(self._summarize(work))
        return answer

    async def _summarize(self, work: Work) -> Answer:
        client = await self._clients.of(work.caller.tenant)
        hold = Hold(work, self._prices.hold_for(work.request))
        started = time.monotonic()

        # Decorated here, at the call: the decorator keeps its client for ever, and this must be the caller's.
        @cycles(**decoration_of(hold, self._guard.subject(work), self._prices), client=client)
        async def summary() -> str:
            context = get_cycles_context()
            return text_of(hold, await self._provider.complete(request_within(hold, context)), context)

        book = self._guard.book
        try:
            try:
                text = await summary()
            except CyclesProtocolError as error:
                if problem := self._guard.refused(hold, client, started):
                    raise problem from error
                book = self._guard.book_unguarded
                text = await unwrap(summary)()
        except ProviderError as error:  # of an answer in one piece nothing has come then: the hold is released
            book(hold, client, started)
            raise provider_problem(error, hold) from error
        book(hold, client, started)
        return Answer(reply=text, **end_of(hold))


def decoration_of(hold: Hold, subject: Subject, prices: Prices) -> dict[str, Any]:
    """What the SDK's `cycles` takes but for the client."""
    return {
        "estimate": hold.amount,
        "actual": lambda _: hold.charge(prices),
        "action_kind": "llm.completion",
        "action_name": hold.request.model,
        "ttl_ms": HOLD_TTL_MS,
        "overage_policy": OVERAGE_POLICY,
        **subject.model_dump(exclude_none=True),
    }


def request_within(hold: Hold, context: CyclesContext | None) -> Request:
    """The request as the engine's caps allow it; there is no context where the call is served unguarded."""
    hold.caps = context.caps if context else None
    hold.request = capped(hold.request, hold.caps)
    return hold.request


def text_of(hold: Hold, completion: Completion, context: CyclesContext | None) -> str:
    """Note what an answer used, for the charge and for Cycles' metrics."""
    hold.add_completion(completion)
    if context is not None:
        used = hold.usage
        context.metrics = CyclesMetrics(
            tokens_input=used.input_tokens, tokens_output=used.output_tokens, model_version=hold.model_version
        )
    return completion.text


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


def budget_header(remaining: int | None) -> dict[str, str]:
    """X-Budget-Remaining in microcents, where the engine told."""
    return {} if remaining is None else {"X-Budget-Remaining": str(remaining)}


def server_sent(event: Event) -> bytes:
    """One event of `text/event-stream`."""
    name, data = event
    return f"event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def end_of(hold: Hold) -> dict[str, Any]:
    """The members of StreamEnd for a call that is settled."""
    usage = hold.usage
    return {
        "model": hold.request.model,
        "usage": TokenUsage(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens),
        "cost": Money(amount=hold.cost),
        "budget": BudgetLeft(remaining=None if hold.remaining is None else Money(amount=hold.remaining)),
    }
