"""Serving while Cycles is out of reach, where BUDGET_FAIL_OPEN says so: bounded, counted, booked afterwards."""

import uuid
from pathlib import Path

import structlog
from runcycles import CyclesConfig, Subject
from runcycles.journal import CommitJournal, PendingCommitRecord

from ..metrics import UNGUARDED
from .balances import UNIT
from .sdk import journal_folder

log = structlog.get_logger(__name__)


class FailOpen:
    """What each tenant may still spend unguarded in this outage. `limit` in microcents; None allows nothing."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._taken: dict[str, int] = {}

    @property
    def enabled(self) -> bool:
        return self._limit is not None

    def admits(self, tenant: str, amount: int) -> bool:
        """Take `amount` microcents of the tenant's allowance, if it is there."""
        taken = self._taken.get(tenant, 0) + amount
        if self._limit is None or taken > self._limit:
            return False
        self._taken[tenant] = taken
        UNGUARDED.inc()
        log.warning("Cycles is out of reach: served unguarded", tenant=tenant, taken_microcents=taken)
        return True

    def outage_is_over(self, tenant: str) -> None:
        self._taken.pop(tenant, None)

    def give_back(self, tenant: str, amount: int) -> None:
        """Return `amount` microcents of what was taken, for they were not needed."""
        if tenant in self._taken:
            self._taken[tenant] -= amount

    def book(self, config: CyclesConfig, subject: Subject, model: str, cost: int) -> str | None:
        """Journal `cost` microcents as an event, to be delivered when Cycles is back. Returns its idempotency key."""
        if not cost or config.journal_dir is None:
            return None
        key = f"unguarded-{uuid.uuid4()}"
        event = {
            "idempotency_key": key,
            "subject": subject.model_dump(exclude_none=True),
            "action": {"kind": "llm.completion", "name": model},
            "actual": {"unit": UNIT, "amount": cost},
            "overage_policy": "ALLOW_IF_AVAILABLE",
        }
        folder = Path(config.journal_dir) / journal_folder(config.base_url, config.tenant or "")
        CommitJournal(folder).record(
            PendingCommitRecord(reservation_id=key, base_url=config.base_url, mode="event", event_fallback_body=event)
        )
        return key
