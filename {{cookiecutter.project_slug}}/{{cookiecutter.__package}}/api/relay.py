"""Relays calls of the provider's own API: what the caller sends goes on, what the vendor answers comes back.

The body goes to the vendor as sent, but for the model, which must be an allowed one, and the output limit, which is at
most the one that the hold covers. Of the answer, only its usage is touched: see `_metered`.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ..budget.fallbacks import Ladder
from ..budget.hold import Hold
from ..core.money import MICROCENTS_PER_USD
from ..core.problems import Problem
from ..llm.answers import parsed, unreadable
from ..llm.event_stream import DONE, EventParser, data_of
from ..llm.metering import Meter
from ..llm.provider import Finish, ProviderError, RawAnswer
from ..web.schemas import budget_headers
from ..web.services import Services
from ..web.sse import pumped
from . import dialect
from .endpoint import Endpoint
from .fields import HEADERS
from .reading import Asked


@dataclass(slots=True)
class Reply:
    """The answer to a caller. A stream is open: its first bytes have come."""

    body: bytes | AsyncGenerator[bytes] = b""
    headers: dict[str, str] = field(default_factory=dict)
    hold: Hold | None = None


class Relay:
    """Calls of the provider's API, each paid by the caller's tenant."""

    def __init__(self, services: Services) -> None:
        self._settings = services.settings
        self._guard = services.guard
        self._upstream = services.upstream

    async def answer(self, endpoint: Endpoint, asked: Asked) -> Reply:
        """Ask the vendor, and return its answer. Raise Problem.

        A plain call runs to its end and is charged, also if its client disconnects. A stream that is closed early is
        charged for what the vendor has sent.
        """
        try:
            if endpoint.is_free:
                return await self._ask_free(endpoint, asked)
            if asked.body.get("stream"):
                return await self._ask_paid(endpoint, asked)
            return await self._guard.tasks.finish(self._ask_paid(endpoint, asked))
        except Problem as problem:
            told = problem.__cause__
            if isinstance(told, ProviderError) and told.detail is not None:
                raise _refused(told) from None
            raise

    async def _ask_free(self, endpoint: Endpoint, asked: Asked) -> Reply:
        meter = Meter(asked.work.request)
        try:
            async with self._ask(endpoint, asked, meter) as response:
                return Reply(await response.read(), _headers(response))
        except ProviderError as error:
            raise meter.add_failure(error, 0) from error

    async def _ask_paid(self, endpoint: Endpoint, asked: Asked) -> Reply:
        """Ask the model that the caller wants and, if the caller allows it, its fallbacks."""
        ladder = Ladder(asked.work, self._settings.fallbacks if asked.may_fall_back else {})
        ask = self._stream if asked.body.get("stream") else self._complete
        while True:
            reply = Reply()
            try:
                await ask(endpoint, asked.by(ladder.work), reply)
            except Problem as problem:
                ladder.descend(problem, reply.hold)
            else:
                if ladder.fallback:
                    reply.headers["X-Budget-Fallback"] = ladder.fallback
                return reply

    async def _complete(self, endpoint: Endpoint, asked: Asked, reply: Reply) -> None:
        async with self._guard.hold(asked.work) as hold:
            reply.hold = hold
            async with self._ask(endpoint, asked, hold.meter, hold) as response:
                answer = parsed(await response.read())
                for item in endpoint.items_of(answer):
                    hold.meter.add(item)
                headers = _headers(response) | asked.limit_header(hold.request)
        if usage := endpoint.usage_in(answer):
            usage["cost"] = hold.call.cost / MICROCENTS_PER_USD
        reply.body, reply.headers = (
            json.dumps(answer).encode(),
            headers | budget_headers(hold.remaining, hold.call.cost),
        )

    async def _stream(self, endpoint: Endpoint, asked: Asked, reply: Reply) -> None:
        events = self._events(endpoint, asked, reply)
        reply.body = pumped(events, lambda problem: dialect.error_event(problem, asked.work.request_id))
        await anext(reply.body)

    async def _events(self, endpoint: Endpoint, asked: Asked, reply: Reply) -> AsyncGenerator[bytes]:
        async with self._guard.hold(asked.work) as hold:
            reply.hold = hold
            yield b""
            async with self._ask(endpoint, asked, hold.meter, hold) as response:
                reply.headers = _headers(response) | asked.limit_header(hold.request) | budget_headers(hold.remaining)
                if response.content_type.endswith("json"):
                    for item in endpoint.items_of(parsed(await response.read())):
                        hold.meter.add(item)
                    raise unreadable()
                parser = EventParser()
                async for chunk in response.content.iter_any():
                    if hold.ends_by:
                        raise Problem(hold.ends_by)
                    for event in parser.feed(chunk):
                        if passed := _metered(event, endpoint, asked, hold):
                            yield passed
                if rest := parser.rest and _metered(parser.rest, endpoint, asked, hold):
                    yield rest
            if not hold.meter.is_finished:
                raise ProviderError("broken_off", "the stream of the model provider ended early")

    @asynccontextmanager
    async def _ask(
        self, endpoint: Endpoint, asked: Asked, meter: Meter, hold: Hold | None = None
    ) -> AsyncIterator[RawAnswer]:
        """Send the request. Raise ProviderError, also for an answer that is an error."""
        limits = dialect.limits_of(endpoint, self._settings)
        body = asked.body_for(hold.request.max_tokens, limits) if hold else asked.body
        if endpoint.asks_for_usage and body.get("stream") and dialect.asks_usage(self._settings):
            body = {**body, "stream_options": {**(body.get("stream_options") or {}), "include_usage": True}}
        path = dialect.PREFIX + endpoint.path + asked.query
        sent = json.dumps(body).encode()
        async with self._upstream.ask("POST", path, sent, asked.headers, meter.ask) as response:
            if response.status >= 300:
                raise await self._upstream.failure(response)
            yield response


def _metered(event: bytes, endpoint: Endpoint, asked: Asked, hold: Hold) -> bytes:
    """Return an event for the caller, and count what it holds: with the cost in its usage, nothing if not asked for."""
    data = data_of(event)
    if data == DONE:
        hold.meter.add(Finish())
    if not data or data == DONE:
        return event
    chunk = parsed(data)
    for item in endpoint.items_of(chunk):
        hold.meter.add(item)
    usage = endpoint.usage_in(chunk)
    if not usage:
        return event
    if endpoint.asks_for_usage and not asked.wants_usage:
        return event if chunk.get("choices") else b""
    usage["cost"] = hold.charge() / MICROCENTS_PER_USD
    return event[: event.index(b"data:")] + b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _headers(response: RawAnswer) -> dict[str, str]:
    """Return what callers see of the vendor's headers: the others tell our organisation and its limits."""
    names = ("Content-Type", *HEADERS["response"])
    return {name: response.headers[name] for name in names if name in response.headers}


def _refused(told: ProviderError) -> Problem:
    """Return the vendor's own refusal, with its status and message."""
    problem = Problem("provider_refused", told.detail)
    problem.status = told.status or problem.status
    return problem
