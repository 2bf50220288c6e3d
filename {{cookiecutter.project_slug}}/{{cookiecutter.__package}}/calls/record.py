"""One row per guarded call, written in batches off the request's path: for display, never for money."""

import asyncio
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol

import structlog

from ..core.metrics import CALLS, CHARGED
from ..core.tasks import uncut

log = structlog.get_logger(__name__)

LOGGED = ("request_id", "tenant", "route", "model", "reservation_id", "cost", "uncharged", "outcome", "duration_ms")
MOST_WAITING = 10_000
BATCH_EVERY_S = 0.5
SERVED = ("charged", "released", "unguarded")
"""The outcomes of calls that were not refused."""
KEPT_ROWS = 1_000_000
KEPT_FOR = timedelta(days=90)
PRUNE_EVERY = timedelta(hours=1)


@dataclass(slots=True, kw_only=True)
class CallRecord:
    """What one call asked for, used and cost; amounts in microcents.

    `outcome` is `charged`, `released`, `unguarded` (served while Cycles was out of reach), or the problem's code
    by which the call was refused. `uncharged` is what the ledger did not take of the cost.
    """

    id: str = field(default_factory=lambda: secrets.token_hex(16))
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    tenant: str
    end_user: str | None = None
    route: str
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    hold: int = 0
    cost: int = 0
    uncharged: int = 0
    outcome: str
    reservation_id: str | None = None
    request_id: str = ""
    duration_ms: int = 0


class Refusals(NamedTuple):
    """How many calls were refused in an hour (`hour` counts from 1970) for the same reason, a problem's code."""

    hour: int
    outcome: str
    calls: int


class Share(NamedTuple):
    """What one model, route or end user (`name`) took; `cost` in microcents."""

    name: str | None
    cost: int
    calls: int


class Amendment(NamedTuple):
    """What became known of a call after its record: the microcents that no ledger took of its cost."""

    tenant: str
    reservation_id: str
    uncharged: int


class Store(Protocol):
    """Where the records go; the framework's `calls/store.py` brings it."""

    async def insert(self, records: Sequence[CallRecord]) -> None: ...

    async def amend(self, amendment: Amendment) -> None: ...

    async def prune(self, keep_newest: int, older_than: datetime) -> None: ...


class CallLog:
    """Collects records and writes them in batches. `add` never waits; when writing fails for long, the oldest go."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[CallRecord] = deque(maxlen=MOST_WAITING)
        self._amendments: deque[Amendment] = deque(maxlen=MOST_WAITING)
        self._filled = asyncio.Event()
        self._next_prune = datetime.min.replace(tzinfo=UTC)

    def add(self, record: CallRecord) -> None:
        self._waiting.append(record)
        self._filled.set()

    def finish(self, call: CallRecord) -> None:
        """Count, log and write down a guarded call that has ended."""
        CALLS.labels(call.route, call.outcome).inc()
        CHARGED.inc(call.cost)
        self.add(call)
        log.info("call", **{name: getattr(call, name) for name in LOGGED})

    def amend(self, amendment: Amendment) -> None:
        """A commit that was tried again, or a call booked afterwards, was not taken in full."""
        self._amendments.append(amendment)
        self._filled.set()

    async def run(self) -> None:
        """Write until cancelled; sleeps while there is nothing to write."""
        while True:
            await self._filled.wait()
            await asyncio.sleep(BATCH_EVERY_S)
            await uncut(self.flush())

    async def flush(self) -> None:
        """Write what waits; once an hour drop what is too old. What a failing database did not take is tried again."""
        self._filled.clear()
        # an amendment that comes while the batch is written may be of a call that is not in it
        batch, amendments = list(self._waiting), len(self._amendments)
        try:
            await self._write(batch)
            for _ in range(amendments):
                await self._store.amend(self._amendments[0])
                self._amendments.popleft()
            if datetime.now(UTC) >= self._next_prune:
                await self._prune()
        except Exception:
            log.exception("calls not written, trying again", waiting=len(self._waiting))
            self._filled.set()
            return
        for record in batch:
            if self._waiting and self._waiting[0] is record:
                self._waiting.popleft()

    async def _write(self, batch: list[CallRecord]) -> None:
        """Write all rows but those that the database refuses, which are dropped: one must not keep back the rest."""
        try:
            await self._store.insert(batch)
        except Exception:
            await self._prune()  # raises where nothing can be written now: then no row is to blame
            if len(batch) == 1:
                log.exception("a call is not written: the database refuses it", request_id=batch[0].request_id)
                return
            middle = len(batch) // 2
            await self._write(batch[:middle])
            await self._write(batch[middle:])

    async def _prune(self) -> None:
        await self._store.prune(KEPT_ROWS, datetime.now(UTC) - KEPT_FOR)
        self._next_prune = datetime.now(UTC) + PRUNE_EVERY
