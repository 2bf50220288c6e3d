"""Outbox of settlements: each is written before it is sent, and deleted once Cycles has decided on it.

One SQLite file in CYCLES_JOURNAL_DIR, shared by all workers of a machine. A row that is still there after LEASE_S is
sent again by any worker (sweeper.py): after a lost answer, an outage or a kill. Sending twice is harmless, because a
settlement keeps its idempotency key. docs/money.md has a diagram of the states.
"""

import secrets
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from ..core.logging import log
from ..core.metrics import BACKLOG, OLDEST, SET_ASIDE
from ..core.money import MAX_MICROCENTS, UNIT
from ..core.sqlite_file import SqliteFile

FILE = "outbox.sqlite3"
LEASE_S = 4.0
"""How long a row belongs to the process that is sending it."""
WAITING_AFTER_S = 2.0
"""A row this old counts as waiting: its first try has failed or is slow."""
LONGEST_RETRY_AFTER_S = 3600.0
REMEMBERED_S = {"commit": 30 * 86_400.0 - 3600, "event": 7 * 86_400.0 - 3600}
"""How long Cycles recognizes a repeated idempotency key: 30 and 7 days, less an hour for clocks that disagree."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS settlements (id INTEGER PRIMARY KEY, server TEXT, tenant TEXT, settlement TEXT,
    created_at REAL, next_try_at REAL DEFAULT 0, not_before REAL, set_aside TEXT);
CREATE TABLE IF NOT EXISTS allowances (tenant TEXT PRIMARY KEY, begun_at REAL, taken INTEGER);
"""
_INSERT = """INSERT INTO settlements (id, server, tenant, settlement, created_at, not_before)
VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET id = id RETURNING id"""
_SAVE = """UPDATE settlements SET settlement = :settlement, next_try_at = coalesce(:next_try_at, next_try_at),
not_before = coalesce(:not_before, not_before) WHERE id = :id"""
_LATER = f"BETWEEN :now AND :now + {2 * LONGEST_RETRY_AFTER_S}"  # later times were written by a clock that was ahead
_DUE = f"""FROM settlements WHERE server = :server AND set_aside IS NULL
AND next_try_at NOT {_LATER} AND not_before NOT {_LATER}"""
_CLAIM = f"""UPDATE settlements SET not_before = :now + {LEASE_S} WHERE id IN
(SELECT id {_DUE} AND tenant = :tenant ORDER BY created_at LIMIT :limit) RETURNING id, CAST(settlement AS BLOB)"""  # noqa: S608  (constants)
_DUE_TENANTS = f"SELECT tenant {_DUE} GROUP BY tenant ORDER BY min(created_at)"
_DELAY = """UPDATE settlements SET next_try_at = max(next_try_at, (SELECT next_try_at FROM settlements WHERE id = :id))
WHERE server = :server AND tenant = :tenant"""
_WAITS = "FILTER (WHERE set_aside IS NULL AND created_at < :before)"
_COUNT = f"SELECT count(*) {_WAITS}, min(created_at) {_WAITS}, count(set_aside) FROM settlements"  # noqa: S608  (constants)


@dataclass(slots=True, kw_only=True)
class Settlement:
    """Spend to charge. `body` is an event's: idempotency_key, actual, subject, action, optional metrics and metadata.

    `kind` is `commit`, or `event` where the hold is gone or there was none. A `capped` one commits no more than was
    `held`, in microcents.
    """

    tenant: str
    body: dict[str, Any]
    kind: Literal["commit", "event"] = "event"
    reservation_id: str | None = None
    held: int = 0
    capped: bool = False
    attempts: int = 0
    is_observed: bool = False
    """The ledger was short before: what it does not take is expected, and no alert."""
    created_at: float = field(default_factory=time.time)
    id: int = field(default_factory=partial(secrets.randbits, 63))
    """ID of its row. Random: if a new file used IDs again, a worker could delete another's row."""

    @property
    def name(self) -> str:
        """The reservation's ID, or the event's key: the call's record refers to it."""
        return self.reservation_id or str(self.body["idempotency_key"])

    @property
    def actual(self) -> int:
        """Microcents that the call cost, as far as Cycles can count."""
        return min(max(0, int(self.body["actual"]["amount"])), MAX_MICROCENTS)

    @property
    def request(self) -> tuple[str, dict[str, Any]]:
        """Path and body to send. An event has the commit's key, and a short budget does not refuse it."""
        if self.kind == "commit":
            body = {name: value for name, value in self.body.items() if name not in ("subject", "action")}
            body["actual"] = {"unit": UNIT, "amount": min(self.actual, self.held) if self.capped else self.actual}
            return f"/v1/reservations/{self.reservation_id}/commit", body
        actual = {"unit": UNIT, "amount": self.actual}
        body = {**self.body, "actual": actual, "overage_policy": "ALLOW_IF_AVAILABLE"}
        if self.reservation_id:
            recovery = {"recovery_reason": "commit_after_reservation_expired"}
            body["metadata"] = {**body.get("metadata", {}), "recovered_reservation_id": self.reservation_id, **recovery}
        return "/v1/events", body

    def adapt(self, error: str, *, is_final: bool) -> bool:
        """Change what Cycles refused with this error code. Return False if there is nothing left to change.

        Leave out what is only for display; commit no more than was held; send an event where the commit is refused.
        """
        details = {"metrics", "metadata"} & self.body.keys()
        if error == "INVALID_REQUEST" and details:
            self.body = {name: value for name, value in self.body.items() if name not in details}
        elif self.kind == "event" or error == "IDEMPOTENCY_MISMATCH":
            return False
        elif error == "OVERDRAFT_LIMIT_EXCEEDED" and self.actual > self.held and not self.capped:
            self.capped = True
        elif is_final:
            self.kind = "event"
        else:
            return False
        return True


_JSON = TypeAdapter(Settlement)


@dataclass
class Deferred:
    """Settlements of a request with an idempotency key. They wait until its answer is stored with them.

    `book` writes them, before another hold of the request begins.
    """

    book: Callable[[], Awaitable[None]]
    waiting: list[Settlement] = field(default_factory=list)
    is_open: bool = True


DEFERRED: ContextVar[Deferred | None] = ContextVar("deferred", default=None)
"""Set while such a request runs."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Waiting settlements, the age of the oldest in seconds (0 if none), and the number of rows and files set aside."""

    count: int
    oldest_s: float
    set_aside: int


class Outbox:
    """The settlements for one Cycles server; rows for other servers are left alone.

    Only `check` raises: what can't be written is kept in memory and written later. `retry_delay` returns the seconds
    before the next try, given the number of failed tries.
    """

    def __init__(self, folder: Path, server: str, retry_delay: Callable[[int], float]) -> None:
        self.file = SqliteFile(folder / FILE, SCHEMA)
        self._server = server
        self._retry_delay = retry_delay
        self._unwritten: list[Settlement] = []

    def check(self) -> None:
        """Raise one of sqlite_file.ERRORS unless settlements can be written."""
        self.file.check()
        if self._unwritten and not self.flush():
            raise OSError("settlements are waiting to be written")

    def add(self, settlement: Settlement, *, due_now: bool = False) -> bool:
        """Write a settlement before it is sent: by the caller, or with `due_now` by the next sweep.

        Return False if it is deferred: neither written nor to be sent now.
        """
        if (deferred := DEFERRED.get()) and deferred.is_open:
            deferred.waiting.append(settlement)
            return False
        self.write(settlement, due_now=due_now)
        return True

    def write(self, settlement: Settlement, *, due_now: bool = False) -> None:
        """Same as `add`, for one that was deferred. One that is in the file already stays as it is."""
        if not self._insert(settlement, 0.0 if due_now else settlement.created_at + LEASE_S):
            self._unwritten.append(settlement)

    def save(self, settlement: Settlement, next_try_at: float | None = None, not_before: float | None = None) -> None:
        """Change a settlement in the file. None leaves its time as it is."""
        text = _JSON.dump_json(settlement).decode()
        self.file.run(_SAVE, id=settlement.id, settlement=text, next_try_at=next_try_at, not_before=not_before)

    def delete(self, settlement: Settlement) -> bool:
        """Delete a settlement that Cycles has decided on. Return whether no other worker did before."""
        if settlement in self._unwritten:
            self._unwritten.remove(settlement)
            return True
        return bool(self.file.run("DELETE FROM settlements WHERE id = :id RETURNING id", id=settlement.id))

    def flush(self) -> bool:
        """Write what could not be written before. Return whether all is written."""
        self._unwritten = [each for each in self._unwritten if not self._insert(each, 0.0)]
        return not self._unwritten

    def postpone(self, settlement: Settlement, retry_after_s: float = 0.0) -> None:
        """Try again later, and not before `retry_after_s`, as Cycles asked."""
        now, delay = time.time(), self._retry_delay(settlement.attempts)
        settlement.attempts += 1
        self.save(settlement, now + delay, now + min(retry_after_s, LONGEST_RETRY_AFTER_S))

    def delay_tenant(self, failed: Settlement) -> None:
        """Postpone the tenant's other settlements until this one is tried again: they would fail too."""
        self.file.run(_DELAY, id=failed.id, server=self._server, tenant=failed.tenant)

    def set_aside(self, row_id: int, why: str) -> None:
        """Keep a row that must not be sent, for an operator to check."""
        log.error("settlement set aside: it is not sent", row=row_id, why=why)
        self.file.run("UPDATE settlements SET set_aside = :why WHERE id = :id", why=why, id=row_id)

    def due_tenants(self) -> list[str]:
        """Return the tenants that have due settlements, the longest waiting first."""
        return [tenant for (tenant,) in self.file.run(_DUE_TENANTS, server=self._server, now=time.time())]

    def claim(self, tenant: str, limit: int) -> list[Settlement]:
        """Lease a tenant's oldest due settlements for LEASE_S."""
        claimed = []
        for row_id, text in self.file.run(_CLAIM, server=self._server, now=time.time(), tenant=tenant, limit=limit):
            try:
                settlement = _JSON.validate_json(text)
            except ValueError:
                self.set_aside(row_id, "unreadable")
                continue
            if time.time() - settlement.created_at > REMEMBERED_S[settlement.kind]:
                self.set_aside(row_id, "older than Cycles' memory")
            else:
                claimed.append(settlement)
        return claimed

    def wake(self) -> None:
        """Make what is postponed due. What a worker is sending stays leased."""
        self.file.run("UPDATE settlements SET next_try_at = 0 WHERE server = :server", server=self._server)

    def backlog(self) -> Backlog:
        """Return what is waiting, for any server. Sets the metrics of it, which all workers share."""
        waiting, since, set_aside = len(self._unwritten), time.time(), len(self.file.damaged())
        for rows, oldest, aside in self.file.run(_COUNT, before=since - WAITING_AFTER_S):
            waiting, set_aside, since = waiting + rows, set_aside + aside, oldest or since
        oldest_s = time.time() - since
        for metric, value in ((BACKLOG, waiting), (OLDEST, oldest_s), (SET_ASIDE, set_aside)):
            metric.set(value)
        return Backlog(waiting, oldest_s, set_aside)

    def close(self) -> None:
        """Close the file. It is opened again when needed."""
        self.flush()
        self.file.close()

    def _insert(self, settlement: Settlement, not_before: float) -> bool:
        text, created_at = _JSON.dump_json(settlement).decode(), settlement.created_at
        row = (settlement.id, self._server, settlement.tenant, text, created_at, not_before)
        return bool(self.file.run(_INSERT, *row))
