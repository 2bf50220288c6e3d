"""The guard: hold the most that a call can cost, make the call, charge what it really used.

A task of the guard makes and settles each hold, so nothing that happens to the request (the client leaves, its task is
cancelled, an exception) leaves a hold unsettled. hold.py documents what is charged.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from runcycles import CyclesResponse
from structlog.contextvars import get_contextvars

from ..calls.models import Call
from ..calls.record import CallLog
from ..core.config import Settings
from ..core.logging import log
from ..core.metrics import DENIALS, HELD, SETTLE
from ..core.money import UNIT
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
from .subject import scopes_of, subject_of


class Guard:
    """Guards calls of a model. Shared by all requests of a process."""

    def __init__(self, settings: Settings, prices: Prices, clients: Clients, calls: CallLog) -> None:
        self._settings = settings
        self._prices = prices
        self._clients = clients
        self._balances = clients.balances
        self._calls = calls
        limit = settings.budget_fail_open_limit if settings.budget_fail_open else None
        self._fail_open = FailOpen(limit, clients.outbox.file)
        self._least_cost = prices.least_cost(settings.models)
        self.tasks = Tasks()

    async def preflight(self, tenant: str) -> None:
        """Raise Problem if no call can be paid (402), or if Cycles is out of reach (503). Advisory: `hold` decides."""
        try:
            if self._clients.breaker.refuses:
                raise Problem("budget_unavailable")
            scopes = scopes_of(subject_of(self._settings, tenant))
            await self._balances.check(tenant, scopes, self._least_cost)
        except Problem as problem:
            if problem.code == "budget_unavailable" and self._fail_open.enabled:
                return
            if problem.code in WANT_OF_MONEY and await self._clients.is_observed(tenant):
                return
            problem.members = {"tenant": tenant, "unit": UNIT, **problem.members}
            DENIALS.labels(problem.code).inc()
            request_id = get_contextvars().get("request_id", "")
            self._calls.add(Call(tenant=tenant, route="preflight", outcome=problem.code, request_id=request_id))
            raise

    @asynccontextmanager
    async def hold(self, work: Work) -> AsyncIterator[Hold]:
        """Hold the most that `work` can cost, run the body, charge what it used.

        Raise Problem if the hold is refused, before the body runs. Charge also if the body fails or is cancelled;
        release the hold if nothing was used. `call.cost` and `remaining` are right after the body. Raise a
        ProviderError of the body as Problem provider_error, provider_refused or limit_exceeded.
        """
        hold = self.new(work)
        granted, left = asyncio.get_running_loop().create_future(), asyncio.Event()
        keeper = self.tasks.start(self._keep(hold, granted, left))
        try:
            await granted
            with self.tasks.cuttable():
                yield hold
        except ProviderError as error:
            raise hold.meter.add_failure(error, hold.call.hold) from error
        finally:
            left.set()
            await asyncio.shield(keeper)

    def new(self, work: Work) -> Hold:
        """Return a hold that is not reserved yet. Raise Problem shutting_down."""
        if self.tasks.stopping:
            raise Problem("shutting_down")
        subject = subject_of(self._settings, work.tenant, work.end_user, work.agent)
        return Hold(work, subject, self._prices, self._balances, self.tasks)

    def run(self, tenant: str, *, limit: int) -> AbstractAsyncContextManager[Run]:
        """Open a run: calls of `tenant` that together hold and spend at most `limit` microcents."""
        return nullcontext(Run(self.hold, tenant, limit))

    async def _keep(self, hold: Hold, granted: asyncio.Future[None], left: asyncio.Event) -> None:
        try:
            await self._reserve(hold)
        except Exception as error:  # noqa: BLE001  (passed on to the caller)
            problem = self._refused(hold, error)
            if not granted.done():  # otherwise the caller was cancelled
                granted.set_exception(problem)
            return
        if not granted.done():
            granted.set_result(None)
        await left.wait()
        await self._settle(hold)

    async def _reserve(self, hold: Hold) -> None:
        """Reserve `hold.call.hold`; without an answer once more, with the same key. Raise Problem if refused."""
        if hold.work.take:
            hold.ended = hold.work.take(hold.call.hold)
        client, body = await self._clients.of(hold.call.tenant), hold.reservation()
        client.spent = hold.commit
        answer = await client.create_reservation(body)
        granted = hold.grant(answer)
        if not granted and not answer.is_client_error and not self.tasks.stopping:
            answer = await client.create_reservation(body)
            granted = hold.grant(answer)
        if not granted:
            await self._serve_unheld(hold, client, answer)
            return
        self._fail_open.outage_is_over(hold.call.tenant)
        hold.heartbeat = Heartbeat(client, answer)
        HELD.inc(hold.call.hold)

    async def _serve_unheld(self, hold: Hold, client: TenantClient, answer: CyclesResponse) -> None:
        """Admit a call without a hold, in an outage or if its tenant is observed. Otherwise raise Problem."""
        call = hold.call
        if unusable := answer.get_body_attribute("reservation_id"):  # granted in a form that can't be settled
            await client.release_reservation(unusable, {"idempotency_key": secrets.token_hex(16)})
        code = "budget_unavailable" if answer.is_success else code_of_response(answer)
        if code == "budget_unavailable":
            hold.allowance = self._fail_open.admit(call.tenant, call.hold)
            if hold.allowance is not None:
                call.outcome = "unguarded"
                return
        if code == "budget_misconfigured":
            told = {"status": answer.status, "error": error_of(answer), "message": answer.error_message}
            log.error("hold refused: the budget is not set up", tenant=call.tenant, **told)
        problem = await self._balances.refusal(code, call.tenant, hold.scopes, call.hold)
        if code in WANT_OF_MONEY and await self._clients.is_observed(call.tenant):
            call.outcome, call.scope = "observed", problem.members.get("scope")
            log.warning("would refuse, served all the same", tenant=call.tenant, code=code, scope=call.scope)
            return
        if (retry_after_ms := answer.retry_after_ms_header) is not None:
            problem.retry_after = max(1, retry_after_ms // 1000)
        raise problem

    async def _settle(self, hold: Hold) -> None:
        """Charge what was used, or release the hold. Book what was served without one."""
        if hold.heartbeat:
            try:
                with SETTLE.time():
                    hold.settled_by(await hold.heartbeat.release())
            finally:
                HELD.dec(hold.call.hold)
        else:
            self._book(hold)
        self._record(hold)

    def _refused(self, hold: Hold, error: Exception) -> Problem:
        """Record a call whose hold failed. Return the reason as a Problem."""
        if isinstance(error, Problem):
            problem = error
        else:
            log.error("hold failed", tenant=hold.call.tenant, exc_info=error)
            problem = Problem("budget_unavailable" if isinstance(error, ERRORS) else "internal_error")
        DENIALS.labels(problem.code).inc()
        hold.call.outcome, hold.call.hold = problem.code, 0
        self._record(hold)
        return problem

    def _book(self, hold: Hold) -> None:
        """Book what was served without a hold as an event: at once, or once Cycles is back."""
        call, observed = hold.call, hold.call.outcome == "observed"
        if hold.meter.is_used and hold.charge():
            event = Settlement(tenant=call.tenant, body=hold.booking("actual", call.cost), is_observed=observed)
            self._clients.outbox.add(event, due_now=True)
            call.reservation_id = event.name
        if hold.allowance is not None:
            self._fail_open.give_back(call.tenant, hold.allowance, call.hold - call.cost)

    def _record(self, hold: Hold) -> None:
        hold.call.duration_ms = int(hold.age_s * 1000)
        self._calls.finish(hold.call)
        hold.ended(hold.call.cost + hold.call.uncharged)
