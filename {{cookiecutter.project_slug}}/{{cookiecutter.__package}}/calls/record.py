"""Records guarded calls and balances in batches, off the request's path. For display only: money is in Cycles."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

from ..core.logging import log
from ..core.metrics import CALLS, CHARGED
from ..core.tasks import uncut
from .models import Balance, Call
from .store import CallStore
from .thresholds import save_balances

LOGGED = ("request_id", "tenant", "route", "model", "reservation_id", "cost", "uncharged", "outcome", "duration_ms")
MOST_WAITING = 10_000
BATCH_EVERY_S = 0.5
KEPT_ROWS = 1_000_000
KEPT_FOR = timedelta(days=90)
PRUNE_EVERY = timedelta(hours=1)


class CallLog:
    """Collects calls and writes them in batches. While the database is down, the oldest are dropped.

    `changed_balances` returns the balances that changed since it was last called.
    """

    def __init__(self, store: CallStore, changed_balances: Callable[[], Iterable[Balance]] = list) -> None:
        self._store = store
        self._changed_balances = changed_balances
        self._calls: deque[Call] = deque(maxlen=MOST_WAITING)
        self._balances: dict[str, Balance] = {}
        self._next_prune = datetime.min.replace(tzinfo=UTC)

    def add(self, call: Call) -> None:
        """Record a call with the next batch."""
        self._calls.append(call)

    def finish(self, call: Call) -> None:
        """Count, log and record a guarded call that has ended."""
        CALLS.labels(call.route, call.outcome).inc()
        CHARGED.inc(call.cost)
        self.add(call)
        log.info("call", **{name: getattr(call, name) for name in LOGGED})

    async def run(self) -> None:
        """Write batches until cancelled."""
        while True:
            await asyncio.sleep(BATCH_EVERY_S)
            await uncut(self.flush())

    async def flush(self) -> None:
        """Write what waits, and delete old rows once an hour. What can't be written now waits for the next batch."""
        calls, self._calls = self._calls, deque(maxlen=MOST_WAITING)
        balances = self._balances | {balance.tenant_id: balance for balance in self._changed_balances()}
        self._balances = {}
        if not (calls or balances):
            return
        for call in calls:
            if balance := balances.get(call.tenant):
                call.remaining = balance.remaining
        try:
            await self._write(list(calls))
            if balances:  # in the same order in all workers, or they would deadlock
                await save_balances(self._store, [balances[tenant] for tenant in sorted(balances)])
            if datetime.now(UTC) >= self._next_prune:
                await self._prune()
        except Exception:
            log.exception("calls not written, trying again", waiting=len(calls))
            self._calls = deque([*calls, *self._calls], MOST_WAITING)
            self._balances = balances | self._balances

    async def _write(self, calls: Sequence[Call]) -> None:
        """Write the calls, one by one if the database refuses one of them, which is dropped."""
        try:
            await self._store.insert(calls)
        except Exception:
            await self._prune()  # raises if the database is down: then no row is to blame
            if len(calls) == 1:
                log.exception("call not recorded: the database refuses it", request_id=calls[0].request_id)
                return
            for call in calls:
                await self._write([call])

    async def _prune(self) -> None:
        await self._store.prune(KEPT_ROWS, datetime.now(UTC) - KEPT_FOR)
        self._next_prune = datetime.now(UTC) + PRUNE_EVERY
