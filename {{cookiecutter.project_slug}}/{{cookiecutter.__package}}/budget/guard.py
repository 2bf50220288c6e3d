"""The guard: hold the most that a call can cost, make the call, settle what it really used.

Money first: from the moment a hold is asked for, a task of its own sees it through to commit or release, so that
nothing that happens to the request (a client that leaves, a cancelled task, an error) can leave it unsettled.

What is charged, by what is known of the vendor's bill when the call ends, however it ends:

- the vendor told its usage: that, and our count of what it streamed since;
- it has begun to answer and told none: our count of the input and of all that came, thinking too. Thinking that a
  vendor does not stream is known to nobody before the end: who leaves such a stream is charged without it;
- it never began (refused, out of reach, no answer in time): nothing, the hold is released. A vendor may bill a request
  that it was too slow to answer: the log line of the failure says how much at most, to be held against its invoice;
- the model that answered has no price: all that was held, with a warning;
- more than was held: all of it, as far as the ledger goes; the rest is `uncharged` on the call.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import structlog
from runcycles import (
    Action,
    Amount,
    Caps,
    CyclesProtocolError,
    CyclesResponse,
    StreamUsage,
    Subject,
    Unit,
)

from ..calls.record import CallLog, CallRecord
from ..llm.provider import AnsweredBy, Completion, Delta, ProviderError, Request, Tally, Usage
from ..metrics import CALLS, CHARGED, DENIALS, HELD, SETTLE
from ..problems import Problem
from ..settings import Settings
from ..tenants.records import Caller
from ..tenants.tenancy import owner_of
from .balances import UNIT
from .clients import Clients, TenantClient, code_of_response
from .fail_open import Allowance, FailOpen
from .prices import Prices, UnknownModel
from .sdk import when_given_up
from .subject import scopes_of, subject_of

log = structlog.get_logger(__name__)

HOLD_TTL_MS = 60_000
"""Shorter, and the SDK's heartbeat gives up after one extension; longer, and a crash keeps the hold that long."""

GRACE_S = 6.0
CUT_S = 0.5
"""A call that still runs GRACE_S after SIGTERM ends at its next chunk; if none comes within CUT_S it is cancelled.
Either way what was delivered is charged."""
DRAIN_S = 2.0

OVERAGE_POLICY = "ALLOW_WITH_OVERDRAFT"
"""Where a ledger has no overdraft limit this charges what is there, as ALLOW_IF_AVAILABLE does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be guarded: whose call, of which route, and the request to the model."""

    caller: Caller
    route: str
    request: Request
    request_id: str
    end_user: str | None = None
    agent: str | None = None


class Hold:
    """A call in progress. Feed `add` with all that the provider streams; `request` is what may be asked of it."""

    def __init__(self, work: Work, amount: int) -> None:
        self.work = work
        self.request = work.request
        self.amount = amount
        """Microcents held."""
        self.caps: Caps | None = None
        """What the engine asks of this call: max_tokens is obeyed already, the rest is the route's to obey."""
        self.cost = 0
        """Microcents charged, once settled."""
        self.uncharged = 0
        self.remaining: int | None = None
        """Microcents that the tightest of the call's ledgers has left, as of the engine's last answer."""
        self.ends_by: str | None = None
        """Set when the call must end now: the code of the problem, as its hold lapses or the process stops."""
        self.allowance: Allowance | None = None
        """What it was served from while Cycles was out of reach."""
        self.outcome = "released"
        self.answered_by = work.request.model
        self._tally = Tally(work.request)
        self.used = False

    @property
    def usage(self) -> Usage:
        """Tokens so far: the provider's figures, and our count where it has told none."""
        return self._tally.usage if self.used else Usage(0, 0)

    @property
    def model_version(self) -> str:
        """The model that answered, by as much of its name as Cycles takes."""
        return self.answered_by[:128]

    def add(self, item: AnsweredBy | Delta | Usage) -> None:
        self.used = True
        if isinstance(item, AnsweredBy):
            self.answered_by = str(item.model)
        elif isinstance(item, Usage) and not item.is_sound:
            log.warning("the provider's usage makes no sense: tokens are counted here", told=str(item))
        else:
            self._tally.add(item)

    def add_completion(self, completion: Completion) -> None:
        """As `add`, for an answer in one piece."""
        self.add(AnsweredBy(completion.model))
        self.add(Delta(completion.text))
        if completion.usage is not None:
            self.add(completion.usage)

    def charge(self, prices: Prices) -> int:
        """Set `cost` to the microcents of what was used; all that was held, where nobody knows the model's price."""
        try:
            self.cost = prices.of(self.answered_by).cost(self.usage)
        except UnknownModel:
            self.cost = max(self.amount, prices.of(self.request.model).cost(self.usage))
            log.warning("the model that answered has no price: charging all that was held", model=self.answered_by)
        self.outcome = "charged"
        return self.cost

    def end(self, code: str) -> None:
        self.ends_by = self.ends_by or code

    def granted_by(self, answer: CyclesResponse, caps: Caps | None) -> None:
        """Take over what the engine's answer to the reserve allows and tells."""
        self.caps = caps
        self.request = capped(self.request, caps)
        self.remaining = self._least_remaining(answer)

    def settle(self, usage: StreamUsage, prices: Prices) -> None:
        """Tell the SDK what to commit. Raises NothingUsed, which makes its context manager release instead."""
        if not self.used:
            raise NothingUsed
        usage.tokens_input = self.usage.input_tokens
        usage.tokens_output = self.usage.output_tokens
        usage.model_version = self.model_version
        usage.set_actual_cost(self.charge(prices))

    def settled_by(self, reserved: CyclesResponse, settled: CyclesResponse) -> None:
        """Read what was charged from the engine's answers."""
        if charged := settled.get_body_attribute("charged"):
            self.uncharged = max(0, self.cost - charged["amount"])
            self.cost = charged["amount"]
        self.remaining = self._least_remaining(settled, reserved)

    def record(self, started: float, reservation_id: str | None = None) -> CallRecord:
        """Count the call, and write it down. `started` is monotonic seconds."""
        work, usage = self.work, self.usage
        CALLS.labels(work.route, self.outcome).inc()
        CHARGED.inc(self.cost)
        return CallRecord(
            tenant=work.caller.tenant,
            end_user=work.end_user,
            route=work.route,
            model=work.request.model,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            hold=self.amount,
            cost=self.cost,
            uncharged=self.uncharged,
            outcome=self.outcome,
            reservation_id=reservation_id,
            request_id=work.request_id,
            duration_ms=int((time.monotonic() - started) * 1000),
        )

    def _least_remaining(self, *answers: CyclesResponse) -> int | None:
        """Microcents that the tenant's tightest ledger has left, by the first of the answers that tells."""
        tenant = self.work.caller.tenant
        for answer in answers:
            rows = answer.get_body_attribute("balances") or ()
            told = [(row["remaining"], owner_of(row["scope_path"])) for row in rows if row.get("remaining")]
            left: list[int] = [amount["amount"] for amount, owner in told if owner == tenant and amount["unit"] == UNIT]
            if left:
                return min(left)
        return None


class NothingUsed(Exception):
    """Makes the SDK's context manager release instead of commit."""


class _AwaitedHold(Hold):
    """A hold that is seen through by a task of its own."""

    def __init__(self, work: Work, amount: int) -> None:
        super().__init__(work, amount)
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.left = asyncio.Event()

    def tell(self, problem: Problem | None) -> None:
        """Let the one that waits for `granted` go on, or fail by `problem`."""
        if self.granted.done():  # cancelled: nobody waits any more
            return
        if problem is None:
            self.granted.set_result(None)
        else:
            self.granted.set_exception(problem)


class Guard:
    """Guards calls of a model. Shared by all requests of a process."""

    def __init__(
        self, settings: Settings, clients: Clients, prices: Prices, calls: CallLog, fail_open: FailOpen
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._prices = prices
        self._calls = calls
        self._fail_open = fail_open
        self._running: set[asyncio.Task[Any]] = set()
        self._bodies: set[asyncio.Task[Any]] = set()
        """The tasks that make guarded calls, or wait to."""
        self.held: dict[Hold, float] = {}
        """The holds that live now, and since when (monotonic seconds)."""
        self.draining = False
        """Set when the process is stopping: nothing new is held."""
        self._when_drained: list[Callable[[], None]] = []

    @asynccontextmanager
    async def hold(self, work: Work) -> AsyncIterator[Hold]:
        """Hold the upper bound of `work`, run the body, settle what it used, however it ends.

        Raises Problem if the hold is refused, before the body runs. After the body `cost` and `remaining` are
        set. What was used by then is charged also when the body fails or is cancelled; nothing used is released.
        A ProviderError that knows what it used is charged for it and raised as Problem provider_error.
        """
        if self.draining:
            raise Problem("shutting_down")
        hold = _AwaitedHold(work, self._prices.hold_for(work.request))
        keeper, body = self._start(self._keep(hold)), asyncio.current_task()
        assert body is not None  # noqa: S101  (it runs in one)
        self._bodies.add(body)
        try:
            await hold.granted
            yield hold
        except ProviderError as error:
            if error.usage is not None:
                hold.add(error.usage)
            raise provider_problem(error, hold) from error
        finally:
            self._bodies.discard(body)
            hold.left.set()
            if hold.granted.done() and not hold.granted.cancelled():
                hold.granted.exception()  # seen: we may have been cancelled before we could await it
            await asyncio.shield(keeper)

    async def unbroken(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run to its end and return its result, also when the caller of this is cancelled meanwhile."""
        if self.draining:
            work.close()
            raise Problem("shutting_down")
        task = self._start(work)
        self._bodies.add(task)
        task.add_done_callback(self._bodies.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise Problem("shutting_down") from None
            raise

    def stop(self) -> None:
        """The process was told to stop: hold nothing new, let calls end for GRACE_S, and cut what still runs then."""
        if self.draining:
            return
        self.draining = True
        loop = asyncio.get_running_loop()
        loop.call_later(GRACE_S, self._end_calls)
        loop.call_later(GRACE_S + CUT_S, self._cut_calls)

    async def drain(self) -> None:
        """Wait until all that was held is settled; a server that has given up on calls may have left them running."""
        self.draining = True
        await self._settled(DRAIN_S)
        self._cut_calls()
        await self._settled(CUT_S)

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call back once nothing is held any more: at once, if nothing is."""
        if self._running:
            self._when_drained.append(callback)
        else:
            callback()

    def book(self, hold: Hold, client: TenantClient, started: float) -> None:
        """Read what was charged from the engine's answers, and note the call. `started` is monotonic seconds."""
        hold.settled_by(client.reserved, client.settled)
        self._note(hold, started, client.reserved.get_body_attribute("reservation_id"))

    def refused(self, hold: Hold, client: TenantClient, started: float) -> Problem | None:
        """A hold was not granted: the problem to raise. None: serve the call all the same, then `book_unguarded`."""
        client.settling()
        problem = refusal_of(client.reserved, self._members(hold))
        if problem.code == "budget_unavailable":
            hold.allowance = self._fail_open.admits(hold.work.caller.tenant, hold.amount)
            if hold.allowance is not None:
                return None
        return self._refuse(hold, problem, started)

    def book_unguarded(self, hold: Hold, client: TenantClient, started: float) -> None:
        """Cycles is out of reach and the settings said to serve all the same: what was used is booked afterwards."""
        if hold.used:
            hold.charge(self._prices)
        hold.outcome = "unguarded"
        work = hold.work
        if hold.allowance is not None:
            hold.allowance.taken -= hold.amount - hold.cost
        booking = self._fail_open.book(client.config, self.subject(work), work.request.model, hold.cost)
        self._note(hold, started, booking)

    def subject(self, work: Work) -> Subject:
        """Whom and what the call is booked under."""
        return subject_of(self._settings, work.caller.tenant, work.end_user, work.agent)

    def _members(self, hold: Hold) -> dict[str, Any]:
        tenant = hold.work.caller.tenant
        members: dict[str, Any] = {"tenant": tenant, "unit": UNIT}
        known = self._clients.balances.known(tenant)
        for ledger in known.along(scopes_of(self.subject(hold.work))) if known else []:
            if ledger.blocked or ledger.remaining < hold.amount:
                return members | {"scope": ledger.scope, "remaining": ledger.remaining}
        return members

    def _note(self, hold: Hold, started: float, reservation_id: str | None = None) -> None:
        call = hold.record(started, reservation_id)
        self._calls.add(call)
        log.info(
            "call",
            request_id=call.request_id,
            tenant=call.tenant,
            route=call.route,
            model=call.model,
            reservation_id=call.reservation_id,
            cost=call.cost,
            uncharged=call.uncharged,
            outcome=call.outcome,
            duration_ms=call.duration_ms,
        )

    def _refuse(self, hold: Hold, problem: Problem, started: float) -> Problem:
        DENIALS.labels(problem.code).inc()
        hold.outcome, hold.amount = problem.code, 0
        self._note(hold, started)
        return problem

    async def _settled(self, seconds: float) -> None:
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)

    def _end_calls(self) -> None:
        for hold in self.held:
            hold.end("shutting_down")

    def _cut_calls(self) -> None:
        for body in self._bodies:
            body.cancel()

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        while self._when_drained and not self._running:
            self._when_drained.pop()()

    async def _keep(self, hold: _AwaitedHold) -> None:
        """See one hold through. Raises nothing: what goes wrong before the grant is told by `hold.granted`."""
        started, amount = time.monotonic(), hold.amount
        try:
            client = await self._clients.of(hold.work.caller.tenant)
            await self._reserve_and_settle(hold, client, started)
        except Problem as problem:
            hold.tell(self._refuse(hold, problem, started))
        except Exception:
            log.exception("guard failed", tenant=hold.work.caller.tenant)
            hold.tell(self._refuse(hold, Problem("internal_error"), started))
        finally:
            if self.held.pop(hold, None) is not None:
                HELD.dec(amount)

    async def _reserve_and_settle(self, hold: _AwaitedHold, client: TenantClient, started: float) -> None:
        try:
            async with client.stream_reservation(**reservation_of(hold, self.subject(hold.work))) as reservation:
                self._fail_open.outage_is_over(hold.work.caller.tenant)
                hold.granted_by(client.reserved, reservation.caps)
                hold.tell(None)
                self.held[hold] = started
                HELD.inc(hold.amount)
                when_given_up(reservation, lambda: hold.end("budget_unavailable"))
                await hold.left.wait()
                left = time.monotonic()
                hold.settle(reservation.usage, self._prices)
        except NothingUsed:
            pass
        except CyclesProtocolError:
            problem = self.refused(hold, client, started)
            hold.tell(problem)
            if problem is None:
                await hold.left.wait()
                self.book_unguarded(hold, client, started)
            return
        SETTLE.observe(time.monotonic() - left)
        self.book(hold, client, started)


def reservation_of(hold: Hold, subject: Subject) -> dict[str, Any]:
    """What the SDK's `stream_reservation` is to reserve."""
    work = hold.work
    return {
        "subject": subject,
        "action": Action(kind="llm.completion", name=work.request.model),
        "estimate": Amount(unit=Unit.USD_MICROCENTS, amount=hold.amount),
        "ttl_ms": HOLD_TTL_MS,
        "overage_policy": OVERAGE_POLICY,
        "metadata": {"route": work.route, "request_id": work.request_id},
    }


def refusal_of(answer: CyclesResponse, members: dict[str, Any]) -> Problem:
    """The problem for a hold that was not granted, told from the engine's own answer. `members` name the tenant."""
    if answer.is_success:  # one that the SDK could not read: whether it holds is not known, so it is not used
        return Problem("budget_unavailable")
    code = code_of_response(answer)
    if code == "budget_misconfigured":
        log.error(
            "hold refused: the budget is not set up",
            tenant=members["tenant"],
            status=answer.status,
            error=answer.get_body_attribute("error"),
            message=answer.error_message,
        )
    retry_after = answer.retry_after_ms_header
    return Problem(code, retry_after=None if retry_after is None else max(1, retry_after // 1000), members=members)


def capped(request: Request, caps: Caps | None) -> Request:
    """The request as the engine's caps allow it."""
    if caps is None or caps.max_tokens is None:
        return request
    return replace(request, max_tokens=min(caps.max_tokens, request.max_tokens))


def provider_problem(error: ProviderError, hold: Hold) -> Problem:
    """502 provider_error; the cause is logged, the client does not learn it."""
    in_doubt = not hold.used and error.kind in ("timeout", "failed")
    log.warning(
        "model provider failed",
        kind=error.kind,
        cause=str(error),
        model=hold.request.model,
        may_be_billed_microcents=hold.amount if in_doubt else 0,
    )
    return Problem("provider_error")
