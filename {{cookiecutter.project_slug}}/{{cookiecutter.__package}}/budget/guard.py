"""The guard: hold the most that a call can cost, make the call, charge what it really used.

A task of the guard makes and settles each hold, so nothing that happens to the request (the client leaves, its task is
cancelled, an exception) leaves a hold unsettled. hold.py documents what is charged.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog

from ..calls.record import CallLog
from ..core.config import Settings
from ..core.metrics import DENIALS, HELD, SETTLE
from ..core.problems import WANT_OF_MONEY, Problem
from ..core.sqlite_file import ERRORS
from ..core.tasks import Tasks
from ..llm.provider import ProviderError
from .client import Clients, TenantClient, code_of_response, error_of
from .fail_open import FailOpen
from .heartbeat import Heartbeat
from .hold import Hold, Work
from .outbox import Settlement
from .prices import Prices
from .runs import Run
from .subject import subject_of

log = structlog.get_logger(__name__)


class Guard:
    """Guards calls of a model. Shared by all requests of a process."""

    def __init__(
        self, settings: Settings, prices: Prices, clients: Clients, calls: CallLog, fail_open: FailOpen
    ) -> None:
        self._settings = settings
        self._prices = prices
        self._clients = clients
        self._calls = calls
        self._fail_open = fail_open
        self.tasks = Tasks()
        self.held: set[Hold] = set()

    @asynccontextmanager
    async def hold(self, work: Work) -> AsyncIterator[Hold]:
        """Hold the most that `work` can cost, run the body, charge what it used.

        Raise Problem if the hold is refused, before the body runs. Charge also if the body fails or is cancelled;
        release the hold if nothing was used. `cost` and `remaining` are set after the body. Raise a ProviderError of
        the body as Problem provider_error.
        """
        hold = self.new(work)
        if self.tasks.is_ours(asyncio.current_task()):
            await self._reserve(hold)
            try:
                with self.asking(hold):
                    yield hold
            finally:
                await self._settle(hold)
            return
        granted, left = asyncio.get_running_loop().create_future(), asyncio.Event()
        keeper = self.tasks.start(self._keep(hold, granted, left))
        try:
            await granted
            with self.asking(hold):
                yield hold
        finally:
            left.set()
            await asyncio.shield(keeper)

    def new(self, work: Work) -> Hold:
        """Return a hold that is not reserved yet. Raise Problem shutting_down, or run_limit_exceeded within a run."""
        if self.tasks.stopping:
            raise Problem("shutting_down")
        subject = subject_of(self._settings, work.tenant, work.end_user, work.agent)
        hold = Hold(work, subject, self._prices, self._clients.balances, self.tasks)
        if work.take:
            with self.refusing(hold):
                hold.ended = work.take(hold.call.hold)
        return hold

    @asynccontextmanager
    async def run(self, tenant: str, *, limit: int) -> AsyncIterator[Run]:
        """Open a run: calls of `tenant` that together hold and spend at most `limit` microcents."""
        yield Run(self.hold, tenant, limit)

    @contextmanager
    def asking(self, hold: Hold) -> Iterator[None]:
        """Wrap the part of a call that waits for the vendor.

        Raise Problem provider_error for a ProviderError, and count what the failed call used.
        """
        try:
            with self.tasks.cuttable():
                yield
        except ProviderError as error:
            raise hold.meter.add_failure(error, hold.call.hold) from error

    async def client_of(self, hold: Hold) -> TenantClient:
        """Return the client that holds and charges for this call."""
        hold.client = await self._clients.of(hold.call.tenant)
        hold.client.spent = hold.commit
        return hold.client

    @contextmanager
    def refusing(self, hold: Hold) -> Iterator[None]:
        """Record a call whose hold fails in the body, and raise the reason as a Problem."""
        try:
            yield
        except Problem as problem:
            raise self._refused(hold, problem) from None
        except Exception as error:
            log.exception("hold failed", tenant=hold.call.tenant)
            code = "budget_unavailable" if isinstance(error, ERRORS) else "internal_error"
            raise self._refused(hold, Problem(code)) from None

    async def refuse(self, hold: Hold, client: TenantClient) -> Problem | None:
        """Return the problem for a hold that was not granted, None if the call may be served without one."""
        tenant, answer = hold.call.tenant, client.reserved
        if unusable := answer.get_body_attribute("reservation_id"):  # granted in a form that can't be settled
            await client.release_reservation(unusable, {"idempotency_key": secrets.token_hex(16)})
        code = "budget_unavailable" if answer.is_success else code_of_response(answer)
        if code == "budget_unavailable":
            hold.allowance = self._fail_open.admit(tenant, hold.call.hold)
            if hold.allowance is not None:
                return None
        if code == "budget_misconfigured":
            told = {"status": answer.status, "error": error_of(answer), "message": answer.error_message}
            log.error("hold refused: the budget is not set up", tenant=tenant, **told)
        problem = await self._clients.balances.refusal(code, tenant, hold.scopes, hold.call.hold)
        if code in WANT_OF_MONEY and tenant in self._clients.observed:
            hold.is_observed, hold.call.scope = True, problem.members.get("scope")
            log.warning("would refuse, served all the same", tenant=tenant, code=code, scope=hold.call.scope)
            return None
        if (retry_after_ms := answer.retry_after_ms_header) is not None:
            problem.retry_after = max(1, retry_after_ms // 1000)
        return self._refused(hold, problem)

    def settled(self, hold: Hold) -> None:
        """Record a call that has ended, with the last answers to its client."""
        if hold.is_observed:
            self._book(hold, "observed")
        elif hold.allowance is not None:
            self._book(hold, "unguarded")
            self._fail_open.give_back(hold.call.tenant, hold.allowance, hold.call.hold - hold.call.cost)
        elif hold.client is not None:
            hold.call.reservation_id = hold.client.reserved.get_body_attribute("reservation_id")
            hold.settled_by(hold.client.settled)
        self._record(hold)

    async def _keep(self, hold: Hold, granted: asyncio.Future[None], left: asyncio.Event) -> None:
        try:
            await self._reserve(hold)
        except Exception as error:  # noqa: BLE001  (passed on to the caller)
            if not granted.done():  # otherwise the caller was cancelled
                granted.set_exception(error)
            return
        if not granted.done():
            granted.set_result(None)
        await left.wait()
        await self._settle(hold)

    async def _reserve(self, hold: Hold) -> None:
        """Reserve `hold.call.hold`; without an answer once more, with the same key. Raise Problem if refused."""
        with self.refusing(hold):
            client = await self.client_of(hold)
            body = hold.reservation()
            answer = await client.create_reservation(body)
            if not (granted := hold.grant(answer)) and not answer.is_client_error and not self.tasks.stopping:
                granted = hold.grant(answer := await client.create_reservation(body))
        if not granted:
            if refusal := await self.refuse(hold, client):
                raise refusal
            return
        self._fail_open.outage_is_over(hold.call.tenant)
        hold.heartbeat = Heartbeat(client, answer)
        self.held.add(hold)
        HELD.inc(hold.call.hold)

    async def _settle(self, hold: Hold) -> None:
        """Charge what was used, or release the hold."""
        if hold.client and hold.heartbeat:
            ended = time.monotonic()
            hold.heartbeat.stop()
            key = {"idempotency_key": secrets.token_hex(16)}
            try:
                await hold.client.release_reservation(hold.heartbeat.reservation_id, key)
            finally:
                self.held.discard(hold)
                HELD.dec(hold.call.hold)
            SETTLE.observe(time.monotonic() - ended)
        self.settled(hold)

    def _refused(self, hold: Hold, problem: Problem) -> Problem:
        DENIALS.labels(problem.code).inc()
        hold.call.outcome, hold.call.hold = problem.code, 0
        self._record(hold)
        return problem

    def _book(self, hold: Hold, outcome: str) -> None:
        """Book what was served without a hold as an event: at once, or once Cycles is back."""
        call = hold.call
        if hold.meter.is_used:
            hold.charge()
        call.outcome = outcome
        if call.cost:
            event = Settlement(tenant=call.tenant, body=hold.booking("actual", call.cost), is_observed=hold.is_observed)
            self._clients.outbox.add(event, due_now=True)
            call.reservation_id = event.name

    def _record(self, hold: Hold) -> None:
        hold.call.duration_ms = int(hold.age_s * 1000)
        self._calls.finish(hold.call)
        hold.ended(hold.call.cost + hold.call.uncharged)
