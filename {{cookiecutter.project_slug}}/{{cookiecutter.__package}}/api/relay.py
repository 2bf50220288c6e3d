"""Relays calls of the provider's own API: what the caller sends goes on, what the vendor answers comes back.

The body goes to the vendor as sent, but for the model, which must be an allowed one, and the output limit, which is at
most the one that the hold covers. Of the answer, only its usage is touched: see `_metered`.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from ..budget.fallbacks import Ladder
from ..budget.hold import Hold
from ..core.money import MICROCENTS_PER_USD
from ..core.problems import Problem
from ..llm.answers import as_dict, parsed, unreadable
from ..llm.event_stream import DONE, EventParser, data_of
from ..llm.metering import Meter
from ..llm.provider import Answer, Finish, ProviderError
from ..web.providers_api import ERROR_EVENT, error_of
from ..web.schemas import budget_headers
from ..web.services import Services
from ..web.sse import Frames
from . import dialect
from .endpoint import Endpoint
from .fields import HEADERS
from .reading import Asked


@dataclass(slots=True)
class Reply:
    """The answer to a caller. A stream is open: its first bytes have come."""

    body: bytes | Frames = b""
    headers: dict[str, str] = field(default_factory=dict)


class Relay:
    """Calls of the provider's API, each paid by the caller's tenant."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def answer(self, asked: Asked) -> Reply:
        """Ask the vendor, and return its answer. Raise Problem.

        A plain call runs to its end and is charged, also if its client disconnects. A stream that is closed early is
        charged for what the vendor has sent.
        """
        try:
            if asked.endpoint.is_free:
                return await self._ask_free(asked)
            if asked.body.get("stream"):
                return await self._ask_paid(asked)
            return await self._services.guard.tasks.finish(self._ask_paid(asked))
        except Problem as problem:
            told = problem.__cause__
            if isinstance(told, ProviderError) and told.detail is not None:
                problem = Problem("provider_refused", told.detail)
                problem.status = told.status or problem.status
            raise problem from None

    async def _ask_free(self, asked: Asked) -> Reply:
        try:
            async with self._services.provider.vendor.ask(*self._sent(asked)) as answer:
                return Reply(await answer.read(), _headers(answer))
        except ProviderError as error:
            raise Meter(asked.work.request).add_failure(error, 0) from error

    async def _ask_paid(self, asked: Asked) -> Reply:
        """Ask the model that the caller wants and, if the caller allows it, its fallbacks."""
        ladder = Ladder(asked.work, self._services.settings.fallbacks if asked.may_fall_back else {})
        ask = self._stream if asked.body.get("stream") else self._complete
        while True:
            reply = Reply()
            try:
                await ask(replace(asked, work=ladder.work), reply)
            except Problem as problem:
                ladder.descend(problem)
            else:
                reply.headers |= budget_headers(None, fallback=ladder.fallback)
                return reply

    @asynccontextmanager
    async def _asking(self, asked: Asked, reply: Reply) -> AsyncIterator[tuple[Hold, Answer]]:
        """Hold the call, and open the vendor's answer."""
        async with self._services.guard.hold(asked.work) as hold:
            limit = hold.request.max_tokens
            async with self._services.provider.vendor.ask(*self._sent(asked, hold), hold.meter.ask) as answer:
                reply.headers = _headers(answer) | budget_headers(hold.remaining)
                if asked.limit and limit < asked.limit:
                    reply.headers["X-Budget-Max-Tokens"] = str(limit)
                yield hold, answer

    async def _complete(self, asked: Asked, reply: Reply) -> None:
        async with self._asking(asked, reply) as (hold, answer):
            told = _read(await answer.read(), asked.endpoint, hold)
        if usage := asked.endpoint.usage_in(told):
            usage["cost"] = hold.call.cost / MICROCENTS_PER_USD
        reply.body = json.dumps(told).encode()
        reply.headers |= budget_headers(hold.remaining, hold.call.cost)

    async def _stream(self, asked: Asked, reply: Reply) -> None:
        def failed(problem: Problem) -> bytes:
            return ERROR_EVENT + _data(error_of(problem, asked.work.request_id))

        reply.body = await Frames(self._events(asked, reply), failed).open()

    async def _events(self, asked: Asked, reply: Reply) -> AsyncGenerator[bytes]:
        async with self._asking(asked, reply) as (hold, answer):
            yield b""
            if answer.is_whole:
                _read(await answer.read(), asked.endpoint, hold)
                raise unreadable()
            parser = EventParser()
            async for chunk in answer.chunks:
                if hold.ends_by:
                    raise Problem(hold.ends_by)
                for event, data in parser.feed(chunk):
                    if passed := _metered(event, data, asked, hold):
                        yield passed
                if hold.meter.is_over:
                    break
            await answer.drain()
            if rest := parser.rest and _metered(bytes(parser.rest), data_of(parser.rest), asked, hold):
                yield rest
            if not hold.meter.is_finished:
                raise ProviderError("broken_off", "the stream of the model provider ended early")

    def _sent(self, asked: Asked, hold: Hold | None = None) -> tuple[str, bytes, dict[str, str]]:
        """Return what goes to the vendor: path, body and headers. The output is at most what is held."""
        body = {**asked.body, "model": asked.work.request.model}
        if hold:
            limits, most = asked.endpoint.limits, hold.request.max_tokens
            given = {name: min(body[name], most) for name in limits if body.get(name) is not None}
            preferred = sorted(limits, key=lambda name: name != dialect.limit_field(self._services.settings))
            body |= given or dict.fromkeys(preferred[:1], most)
        if asked.endpoint.asks_for_usage and body.get("stream") and dialect.asks_usage(self._services.settings):
            body["stream_options"] = {**as_dict(body.get("stream_options")), "include_usage": True}
        return asked.endpoint.path + asked.query, json.dumps(body).encode(), asked.headers


def _read(data: bytes, endpoint: Endpoint, hold: Hold) -> dict[str, Any]:
    """Return the JSON of an answer or event, and count what it holds."""
    told: dict[str, Any] = parsed(data)
    for item in endpoint.items_of(told):
        hold.meter.add(item)
    return told


def _metered(event: bytes, data: bytes, asked: Asked, hold: Hold) -> bytes:
    """Return an event for the caller, and count what it holds: with the cost in its usage, nothing if not asked for."""
    if data == DONE:
        hold.meter.add(Finish())
        return event
    if not data:
        return event
    told = _read(data, asked.endpoint, hold)
    usage = asked.endpoint.usage_in(told)
    if not usage:
        return event
    if asked.endpoint.asks_for_usage and not as_dict(asked.body.get("stream_options")).get("include_usage"):
        return event if told.get("choices") else b""
    usage["cost"] = hold.charge() / MICROCENTS_PER_USD
    return event[: event.index(b"data:")] + _data(told)


def _data(content: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def _headers(answer: Answer) -> dict[str, str]:
    """Return what callers see of the vendor's headers: the others tell our organisation and its limits."""
    return {name: answer.headers[name] for name in ("Content-Type", *HEADERS["response"]) if name in answer.headers}
