"""One guarded call: what is held for it, what it has used so far, and what to charge.

The charge depends on what is known of the vendor's bill when the call ends, however it ends (see llm/metering.py):

- the vendor reported usage: that, plus our count of the text streamed since. Figures that can't be true together: the
  larger of our own count and what was told;
- the vendor began to answer and reported nothing: our count of the input and of all output, streamed thinking included.
  Thinking that is not streamed can't be counted;
- the request went out and nothing came back (too slow, disconnected, the caller left): our count of the input. The
  failure's log line says how much the vendor may bill at most, to compare with the invoice;
- the vendor was not asked, could not be reached or answered with an error: nothing;
- the model or service tier that answered has no price: the whole hold, with a warning;
- more than was held: all of it, as far as the ledger goes. The rest is `uncharged` on the call.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from runcycles import Caps, CyclesResponse

from ..calls.models import Call
from ..core.logging import log
from ..core.money import MAX_MICROCENTS, UNIT
from ..core.tasks import Tasks
from ..llm.metering import Meter
from ..llm.provider import Provider, Request, Stream, message_of
from .balances import Balances
from .heartbeat import HOLD_TTL_MS, Heartbeat
from .prices import Prices, UnknownModel
from .subject import scopes_of

OVERAGE_POLICY = "ALLOW_WITH_OVERDRAFT"
"""Without an overdraft limit on the ledger this charges what is left, same as ALLOW_IF_AVAILABLE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A call to guard: who pays, for which route, and the request to the model."""

    tenant: str
    route: str
    request: Request
    request_id: str = ""
    end_user: str | None = None
    agent: str | None = None
    price: int | None = None
    """Microcents of a tool, which has a fixed price and takes no tokens; `request` then names it as the model."""
    take: Callable[[int], Callable[[int], None]] | None = None
    """Takes the microcents to hold from a run (runs.py), and returns what to call with the cost."""


class Hold:
    """A guarded call in progress. `complete` and `stream` send its request and count the answer in `meter`.

    `call` is its record, complete once the call is settled.
    """

    def __init__(self, work: Work, subject: dict[str, Any], prices: Prices, balances: Balances, tasks: Tasks) -> None:
        self.work = work
        self.scopes = scopes_of(subject)
        self.request = work.request
        self.call = Call(
            tenant=work.tenant,
            end_user=work.end_user,
            route=work.route,
            model=work.request.model,
            hold=min(MAX_MICROCENTS, prices.hold_for(work.request)) if work.price is None else work.price,
            outcome="released",
            request_id=work.request_id,
        )
        self.meter = Meter(work.request)
        self.heartbeat: Heartbeat | None = None
        """None if served without a hold: `call.outcome` is then unguarded or observed."""
        self.caps: Caps | None = None
        """Limits that Cycles sets for this call. `request` respects max_tokens and tools, a route must the others."""
        self.allowance: float | None = None
        """ID of the allowance (see fail_open) if served while Cycles was out of reach."""
        self.ended: Callable[[int], None] = lambda _: None
        """Called with the microcents that the call cost, once it is settled."""
        self._subject = subject
        self._started = time.monotonic()
        self._prices = prices
        self._balances = balances
        self._tasks = tasks

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._started

    @property
    def remaining(self) -> int | None:
        """Microcents left in the tightest of the call's ledgers, None if unknown."""
        return None if self.allowance is not None else self._balances.least(self.call.tenant, self.scopes)

    @property
    def ends_by(self) -> str | None:
        """Code of the problem by which the call must end now: the process stops, or its hold is about to expire."""
        if self._tasks.ending:
            return "shutting_down"
        return "budget_unavailable" if self.heartbeat and self.heartbeat.has_failed else None

    async def stream(self, provider: Provider, *, paced: bool = True) -> Stream:
        """Send the request, and count the answer as it comes. Raise ProviderError."""
        async with aclosing(provider.stream(self.request, self.meter.ask, paced=paced)) as items:
            async for item in items:
                self.meter.add(item)
                yield item

    async def complete(self, provider: Provider) -> str:
        """Send the request, and return the whole text. Raise ProviderError."""
        return message_of([item async for item in self.stream(provider, paced=False)]).content

    def charge(self) -> int:
        """Set the call's tokens and cost. Return the microcents: the whole hold if the model has no price."""
        call, usage, model = self.call, self.meter.usage, self.meter.answered_by
        call.input_tokens, call.output_tokens = usage.input_tokens, usage.output_tokens
        if self.work.price is not None:
            call.cost = self.work.price
            return call.cost
        try:
            call.cost = self._prices.cost(model, usage, self.meter.service_tier)
        except UnknownModel as error:
            call.cost = max(call.hold, self._prices.cost(self.request.model, usage))
            log.warning("no price for what answered, charging the whole hold", model=model, reason=str(error))
        return call.cost

    def grant(self, answer: CyclesResponse) -> bool:
        """Store the reservation and apply its caps. Return False if the answer grants nothing that can be settled."""
        body = answer.body if answer.is_success and answer.body else {}
        caps, reservation_id = body.get("caps"), body.get("reservation_id")
        if body.get("decision") not in ("ALLOW", "ALLOW_WITH_CAPS") or not isinstance(reservation_id, str):
            return False
        try:
            self.caps = Caps.model_validate(caps) if caps else None
        except ValueError:
            return False
        if self.caps:
            tools = tuple(tool for tool in self.request.tools if self.caps.is_tool_allowed(tool.name))
            most = self.request.max_tokens if self.caps.max_tokens is None else self.caps.max_tokens
            self.request = replace(self.request, tools=tools, max_tokens=min(most, self.request.max_tokens))
        self.call.reservation_id = reservation_id
        return True

    def reservation(self) -> dict[str, Any]:
        """Return the body of POST /v1/reservations."""
        return {**self.booking("estimate", self.call.hold), "ttl_ms": HOLD_TTL_MS, "overage_policy": OVERAGE_POLICY}

    def commit(self) -> dict[str, Any] | None:
        """Return the body that charges what was used, None if nothing was."""
        if not self.meter.is_used:
            return None
        call, cost = self.call, self.charge()
        call.outcome = "charged"
        tokens = {"tokens_input": call.input_tokens, "tokens_output": call.output_tokens}
        return {
            "idempotency_key": secrets.token_hex(16),
            "actual": {"unit": UNIT, "amount": cost},
            "metrics": {**tokens, "model_version": self.meter.answered_by, "latency_ms": int(self.age_s * 1000)},
            "metadata": {"route": call.route, "request_id": call.request_id},
        }

    def settled_by(self, answer: CyclesResponse) -> None:
        """Store how much of the cost ledgers took."""
        if charged := answer.get_body_attribute("charged"):
            self.call.uncharged = max(0, self.call.cost - charged["amount"])
            self.call.cost = charged["amount"]

    def booking(self, name: str, microcents: int) -> dict[str, Any]:
        """Return who pays for what, and as `name` how much: the estimate of a reservation, the actual of an event."""
        return {
            "idempotency_key": secrets.token_hex(16),
            "subject": self._subject,
            "action": {"kind": "llm.completion" if self.work.price is None else "tool.call", "name": self.call.model},
            name: {"unit": UNIT, "amount": microcents},
        }
