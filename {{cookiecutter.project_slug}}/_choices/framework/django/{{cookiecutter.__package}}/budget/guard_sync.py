"""The guard's synchronous twin, for synchronous views, commands and task workers: the same settle rules.

It needs no event loop, and keeps nothing but a pool of connections for each process: safe in threads and after a fork.
What Cycles did not take is tried again by the SDK in threads, which end before the process does; what is left after
that lies in the journal and is settled by the serving app. It fails closed, whatever BUDGET_FAIL_OPEN says: a process
counts what it has served in an outage, and every new process of a worker would begin with the whole limit.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import httpx
import structlog
from django.conf import settings
from django.db import DatabaseError, close_old_connections
from pydantic import BaseModel
from runcycles import CyclesClient, CyclesConfig, CyclesProtocolError, CyclesResponse

from ..calls.models import CallRow
from ..llm.provider import ProviderError
from ..problems import Problem
from ..tenants.models import TenantRow
from ..tenants.tenancy import CyclesKeys
from . import sdk  # noqa: F401  (its workarounds are in force wherever a client is)
from .balances import UNIT
from .clients import (
    CAPPED,
    COMMIT_STATUS,
    EVENT_STATUS,
    NO_ANSWER,
    event_of,
    note_uncharged,
    plain,
    settlement_of,
    with_status,
)
from .guard import Hold, NothingUsed, Work, provider_problem, refusal_of, reservation_of
from .live import Live
from .subject import subject_of

log = structlog.get_logger(__name__)


@contextmanager
def hold(work: Work) -> Iterator[Hold]:
    """Hold the upper bound of `work`, run the body, settle what it used, however it ends: as Guard.hold does.

    Raises Problem if the hold is refused, before the body runs. After the body `cost` and `remaining` are set.
    """
    started = time.monotonic()
    client, held = SyncClient(work.caller.tenant), Hold(work, settings.ENV.prices.hold_for(work.request))
    subject = subject_of(settings.ENV, work.caller.tenant, work.end_user, work.agent)
    failure: BaseException | None = None
    try:
        with suppress(NothingUsed), client.stream_reservation(**reservation_of(held, subject)) as reservation:
            held.granted_by(client.reserved, reservation.caps)
            try:
                yield held
            except BaseException as error:  # noqa: BLE001  (raised below: it must not keep what was used from being charged)
                failure = error
                if isinstance(error, ProviderError) and error.usage is not None:
                    held.add(error.usage)
            held.settle(reservation.usage, settings.ENV.prices)
    except CyclesProtocolError as error:
        raise refused(held, client, started) from error
    book(held, client, started)
    if isinstance(failure, ProviderError):
        raise provider_problem(failure, held) from failure
    if failure is not None:
        raise failure


class SyncClient(CyclesClient):
    """One tenant's client for one piece of work, over this process's pool; nothing to close.

    `reserved` and `settled` are the engine's last answers, as `TenantClient` keeps them.
    Raises Problem budget_misconfigured when the tenant has no Cycles key.
    """

    def __init__(self, tenant: str) -> None:
        # not super().__init__: it would open a pool
        self._tenant = tenant
        self._config = _config_of(tenant)
        self.reserved = NO_ANSWER
        self.settled = NO_ANSWER
        self._held = 0

    def create_reservation(self, request: BaseModel | dict[str, Any]) -> CyclesResponse:
        body = plain(request)
        if not self._held:
            amount = body["estimate"]["amount"]
            _live(os.getpid()).change(1, amount)
            self._held = amount
        self.reserved = super().create_reservation(body)
        return self.reserved

    def settling(self) -> None:
        """As `TenantClient.settling`."""
        if self._held:
            _live(os.getpid()).change(-1, -self._held)
            self._held = 0

    def commit_reservation(self, reservation_id: str, request: BaseModel | dict[str, Any]) -> CyclesResponse:
        """Commit; what an overdraft limit refuses is charged as far as the hold goes, never dropped."""
        self.settling()
        response = super().commit_reservation(reservation_id, request)
        if response.get_body_attribute("error") in CAPPED:
            response = self.get_reservation(reservation_id)
            if reserved := response.get_body_attribute("reserved"):
                response = super().commit_reservation(reservation_id, {**plain(request), "actual": reserved})
        response = with_status(response, COMMIT_STATUS)
        self._amend(reservation_id, plain(request), response)
        self.settled = response
        return response

    def create_event(self, request: BaseModel | dict[str, Any]) -> CyclesResponse:
        """As `TenantClient.create_event`."""
        body = event_of(request)
        response = with_status(super().create_event(body), EVENT_STATUS)
        self._amend(settlement_of(body), body, response)
        return response

    def release_reservation(self, reservation_id: str, request: BaseModel | dict[str, Any]) -> CyclesResponse:
        self.settled = super().release_reservation(reservation_id, request)
        self.settling()
        return self.settled

    def _amend(self, settlement: str, body: dict[str, Any], response: CyclesResponse) -> None:
        """The call's own record tells it by itself, unless this is the SDK trying again in a thread."""
        if amendment := note_uncharged(self._tenant, settlement, body, response):
            _write(lambda: CallRow.amend(amendment))
            close_old_connections()  # a thread of the SDK is nobody's request

    def _post(self, path: str, body: BaseModel | dict[str, Any]) -> CyclesResponse:
        data = plain(body)
        return self._send("POST", path, {"X-Idempotency-Key": data["idempotency_key"]}, json=data)

    def _get(self, path: str, params: dict[str, str] | None = None) -> CyclesResponse:
        return self._send("GET", path, {}, params=params)

    def _send(self, method: str, path: str, headers: dict[str, str], **options: Any) -> CyclesResponse:
        pool = _pool(os.getpid())
        try:
            answer = pool.request(method, path, headers=self._key() | headers, **options)
            if answer.status_code == 401 and self._has_newer_key():
                answer = pool.request(method, path, headers=self._key() | headers, **options)
        except httpx.HTTPError as error:
            return CyclesResponse.transport_error(error)
        return self._handle_response(answer)

    def _key(self) -> dict[str, str]:
        return {"X-Cycles-API-Key": self._config.api_key}

    def _has_newer_key(self) -> bool:
        """After a 401: the key may have been rotated since it was read."""
        used, self._config = self._config.api_key, _config_of(self._tenant)
        return self._config.api_key != used


def refused(held: Hold, client: SyncClient, started: float) -> Problem:
    """Note a call whose hold was not granted: the problem to raise. `started` is monotonic seconds."""
    client.settling()
    problem = refusal_of(client.reserved, {"tenant": held.work.caller.tenant, "unit": UNIT})
    held.outcome, held.amount = problem.code, 0
    _note(held, started)
    return problem


def book(held: Hold, client: SyncClient, started: float) -> None:
    """Read what was charged from the engine's answers, and note the call."""
    held.settled_by(client.reserved, client.settled)
    _note(held, started, client.reserved.get_body_attribute("reservation_id"))


def _note(held: Hold, started: float, reservation_id: str | None = None) -> None:
    row = CallRow.of(held.record(started, reservation_id))
    _write(lambda: row.save(force_insert=True))


def _write(write: Callable[[], None]) -> None:
    try:
        write()
    except DatabaseError:
        log.exception("call not written")  # for display only: no reason to fail


def _config_of(tenant: str) -> CyclesConfig:
    row = TenantRow.objects.filter(id=tenant).first()
    return settings.ENV.cycles_config(tenant, CyclesKeys(settings.ENV).open(row.sealed_key if row else ""))


@cache
def _live(_process: int) -> Live:
    return Live(settings.ENV.cycles_journal_dir)


@cache
def _pool(_process: int) -> httpx.Client:
    """The connections of this process. By its ID, since connections do not survive a fork."""
    env = settings.ENV
    timeout = httpx.Timeout(env.cycles_read_timeout, connect=env.cycles_connect_timeout)
    return httpx.Client(base_url=env.cycles_base_url, timeout=timeout)
