"""Takes what this process hears of balances into the database, where every process's pages can sort by it."""

import asyncio
import time
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from ..budget.balances import Amounts, Balances
from ..core.metrics import CROSSINGS
from ..core.tasks import uncut
from .charts import THRESHOLDS
from .records import SHORTEST_RATE_S, HourlyBalance, Standing
from .store import DashboardStore

log = structlog.get_logger(__name__)

EVERY_S = 1.0
AT_ONCE = 500
MARKS_APART_S = 12 * 3600
PRUNE_EVERY_S = 3600
KEPT_HOURS = 62 * 24
KEPT_ROWS = 1_000_000


class Sampler:
    """One row per tenant of how it stands, and one per tenant and hour for the charts, kept for a bounded time.

    It tells of each threshold that a budget's spend crosses: one event in the log and one count.
    """

    def __init__(self, balances: Balances, store: DashboardStore) -> None:
        self._balances = balances
        self._store = store
        self._next_prune = 0.0

    async def run(self) -> None:
        """Write until cancelled; sleeps while nothing is heard. What a failing database did not take is tried again."""
        while True:
            await self._balances.heard.wait()
            await asyncio.sleep(EVERY_S)
            self._balances.heard.clear()
            try:
                await self.flush()
                if time.monotonic() >= self._next_prune:
                    self._next_prune = time.monotonic() + PRUNE_EVERY_S
                    await uncut(self._store.prune(KEPT_ROWS, int(time.time()) // 3600 - KEPT_HOURS))
            except Exception:
                log.exception("balances not written, trying again", waiting=len(self._balances.changed))

    async def flush(self) -> None:
        """Write what was heard since the last time, all of it also for a caller that leaves."""
        await uncut(self._flush())

    async def _flush(self) -> None:
        """What is heard meanwhile waits, else this had no end."""
        waiting = sorted(self._balances.changed)  # in one order by all workers, or they lock each other out
        self._balances.changed.clear()
        for first in range(0, len(waiting), AT_ONCE):
            try:
                await self._write(waiting[first : first + AT_ONCE])
            except BaseException:
                self._balances.changed.update(waiting[first:])
                self._balances.heard.set()
                raise

    async def _write(self, tenants: list[str]) -> None:
        before = await self._store.standings(tenants)
        now = int(time.time())
        standings = []
        for tenant in tenants:
            known, old = self._balances.known(tenant), before.get(tenant)
            if known and (ledger := known.widest) and (old is None or old.at <= known.as_of):
                standings.append(standing_of(tenant, ledger, known.as_of, old, now))
        hours = [
            HourlyBalance(tenant=row.tenant, hour=now // 3600, allocated=row.allocated, remaining=row.remaining)
            for row in standings
        ]
        if standings:
            await self._store.save(standings, hours)
        for row in standings:
            await self._alert(row, before.get(row.tenant))

    async def _alert(self, now: Standing, before: Standing | None) -> None:
        """Tell of each threshold that was crossed, unless another worker was first: what is told moves `alerted`."""
        told = before.alerted if before else 0
        passed = [per_cent for per_cent in THRESHOLDS if now.spend_at(per_cent) <= now.used]
        if before and now.used < told:
            if self._asked_since(before):  # reset: an answer that came late would look the same
                await self._store.move_alert(now.tenant, told, now.spend_at(max(passed, default=0)))
            return
        for per_cent in passed:
            if told < (spend := now.spend_at(per_cent)):
                is_first = await self._store.move_alert(now.tenant, told, spend)
                told = spend
                # raised so little that what was spent before is above the new threshold too: told already
                was_above = before and before.spend_at(per_cent) <= before.alerted and spend <= before.used
                if is_first and not was_above:
                    log.warning(
                        "budget threshold crossed",
                        tenant=now.tenant,
                        per_cent=per_cent,
                        allocated=now.allocated,
                        spent=now.spent,
                    )
                    CROSSINGS.labels(per_cent).inc()

    def _asked_since(self, before: Standing) -> bool:
        """Whether what is known was asked for after that was heard."""
        known = self._balances.known(before.tenant)
        age = time.monotonic() - ledger.asked_at if known and (ledger := known.widest) else 0.0
        return before.at <= datetime.now(UTC) - timedelta(seconds=age)


def standing_of(tenant: str, ledger: Amounts, at: datetime, before: Standing | None, now: int) -> Standing:
    """How the tenant stands by this ledger. `now` is seconds since 1970."""
    mark = later = (now, ledger.used)
    if before and before.used <= ledger.used:  # else it is new, or was reset since
        mark, later = (before.mark_at, before.mark_used), (before.next_at, before.next_used)
        if now - before.next_at >= MARKS_APART_S:
            mark, later = later, (now, ledger.used)
    marks = {"mark_at": mark[0], "mark_used": mark[1], "next_at": later[0], "next_used": later[1]}
    amounts: dict[str, Any] = {field.name: getattr(ledger, field.name) for field in fields(Amounts)}
    return Standing(tenant=tenant, at=at, **amounts | marks)


def burn_of(standing: Standing | None, used: int, now: int) -> int:
    """Microcents per hour that are being spent, `used` being what is spent now."""
    if standing is None:
        return 0
    return max(0, used - standing.mark_used) * 3600 // max(SHORTEST_RATE_S, now - standing.mark_at)
