"""The example feature. `complete` and `stream` use the guard; `summarize` shows the SDK's @cycles decorator."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from runcycles import CyclesMetrics, CyclesProtocolError, cycles, get_cycles_context

from ..budget.clients import Clients
from ..budget.guard import HOLD_TTL_MS, OVERAGE_POLICY, Guard, Hold, Work, capped, provider_problem
from ..budget.prices import Prices
from ..llm.provider import Delta, Message, Provider, ProviderError, Request
from ..problems import Problem
from ..settings import Settings
from .schemas import Answer, BudgetLeft, Money, StreamEnd, TokenUsage

SUMMARIZE = "Summarize the text of the user in a few sentences."

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
            hold.add(Delta(completion.text))
            if completion.usage is not None:
                hold.add(completion.usage)
        return Answer(reply=completion.text, **end_of(hold))

    async def stream(self, work: Work) -> AsyncGenerator[tuple[Event, Hold]]:
        """The answer's events as they come, `delta` ... `done`, with the hold they are paid from.

        Close it early, and what was yielded so far is charged.
        """
        async with self._guard.hold(work) as hold, aclosing(self._provider.stream(hold.request)) as items:
            async for item in items:
                hold.add(item)
                if isinstance(item, Delta):
                    yield ("delta", {"text": item.text}), hold
        yield ("done", StreamEnd(**end_of(hold)).model_dump()), hold

    async def summarize(self, work: Work) -> Answer:
        """As `complete`, in the SDK's decorator form."""
        answer: Answer = await self._guard.unbroken(self._summarize(work))
        return answer

    async def _summarize(self, work: Work) -> Answer:
        client = await self._clients.of(work.caller.tenant)
        hold = Hold(work, self._guard.upper_bound(work.request))
        subject = self._guard.subject(work)
        price = self._prices.of(work.request.model)
        started = time.monotonic()
        failure: ProviderError | None = None

        def cost(_: str) -> int:
            hold.cost = price.cost(hold.usage)
            hold.outcome = "charged"
            return hold.cost

        # Decorated here, at the call: the decorator keeps its client for ever, and this must be the caller's.
        @cycles(
            estimate=hold.amount,
            actual=cost,
            action_kind="llm.completion",
            action_name=work.request.model,
            ttl_ms=HOLD_TTL_MS,
            overage_policy=OVERAGE_POLICY,
            workflow=subject.workflow,
            agent=subject.agent,
            client=client,
        )
        async def summary() -> str:
            nonlocal failure
            context = get_cycles_context()
            try:
                completion = await self._provider.complete(capped(work.request, context.caps if context else None))
            except ProviderError as error:
                if error.usage is None:
                    raise
                hold.add(error.usage)  # tokens were used: returning makes the decorator commit them
                failure = error
                return ""
            hold.add(Delta(completion.text))
            if completion.usage is not None:
                hold.add(completion.usage)
            if context is not None:
                used = hold.usage
                context.metrics = CyclesMetrics(tokens_input=used.input_tokens, tokens_output=used.output_tokens)
            return completion.text

        try:
            text = await summary()
        except ProviderError as error:
            failure = error
        except CyclesProtocolError as error:
            problem = self._guard.refusal(client, work, hold.amount)
            hold.outcome, hold.amount = problem.code, 0
            self._guard.note(hold, started)
            raise problem from error
        self._guard.book(hold, client, started)
        if failure is not None:
            raise provider_problem(failure, work) from failure
        return Answer(reply=text, **end_of(hold))


def request_to_model(
    settings: Settings, messages: tuple[Message, ...], model: str | None = None, max_tokens: int | None = None
) -> Request:
    """The request to the model, with the defaults filled in. Raises Problem for what is not offered."""
    model = model or settings.llm_model
    most = settings.llm_max_tokens
    if model not in settings.models:
        raise Problem("unknown_model")
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
