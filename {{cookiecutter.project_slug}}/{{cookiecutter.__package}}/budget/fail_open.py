"""Serving while Cycles is out of reach, if BUDGET_FAIL_OPEN is set: limited, counted, booked afterwards.

What each tenant has taken in an outage is stored beside the outbox, so the limit holds over all workers of a machine.
"""

import time

from ..core.logging import log
from ..core.metrics import UNGUARDED
from ..core.sqlite_file import SqliteFile

_TAKE = """INSERT INTO allowances VALUES (:tenant, :now, :amount) ON CONFLICT (tenant) DO UPDATE
SET taken = taken + :amount WHERE taken + :amount <= :limit RETURNING begun_at, taken"""
_GIVE_BACK = "UPDATE allowances SET taken = taken - :amount WHERE tenant = :tenant AND begun_at = :begun_at"


class FailOpen:
    """What a tenant may spend without a hold in one outage: `limit` microcents, nothing if None."""

    def __init__(self, limit: int | None, file: SqliteFile) -> None:
        self._limit = limit
        self._file = file
        self.enabled = limit is not None

    def admit(self, tenant: str, amount: int) -> float | None:
        """Take `amount` microcents of the tenant's allowance. Return its ID, None if too little is left."""
        if self._limit is None or amount > self._limit:
            return None
        taking = {"tenant": tenant, "now": time.time(), "amount": amount, "limit": self._limit}
        for begun_at, taken in self._file.run(_TAKE, **taking):
            UNGUARDED.inc()
            log.warning("Cycles out of reach, call served without a hold", tenant=tenant, taken_microcents=taken)
            return float(begun_at)
        return None

    def give_back(self, tenant: str, allowance: float, microcents: int) -> None:
        """Return what a call did not need, unless that outage is over."""
        # no less than the limit: a call may have cost more than SQLite can add
        self._file.run(_GIVE_BACK, tenant=tenant, begun_at=allowance, amount=max(microcents, -(self._limit or 0)))

    def outage_is_over(self, tenant: str) -> None:
        """Give the tenant a new allowance in the next outage."""
        if self.enabled:
            self._file.run("DELETE FROM allowances WHERE tenant = :tenant", tenant=tenant)
