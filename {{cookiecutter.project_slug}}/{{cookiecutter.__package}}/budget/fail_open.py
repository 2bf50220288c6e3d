"""Serving while Cycles is out of reach, where BUDGET_FAIL_OPEN says so: bounded, counted, booked afterwards."""

import uuid
from dataclasses import dataclass
from pathlib import Path

import structlog
from runcycles import CyclesConfig, Subject
from runcycles.journal import CommitJournal, PendingCommitRecord

from ..metrics import UNCHARGED, UNGUARDED
from .balances import UNIT
from .sdk import journal_folder, journalled

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Allowance:
    """Microcents that a tenant has taken in one outage; what a call did not need is to be taken off again."""

    taken: int = 0


class FailOpen:
    """What each tenant may still spend unguarded in this outage. `limit` in microcents; None allows nothing."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._allowances: dict[str, Allowance] = {}

    @property
    def enabled(self) -> bool:
        return self._limit is not None

    def admits(self, tenant: str, amount: int) -> Allowance | None:
        """Take `amount` microcents of the tenant's allowance, if they are there."""
        allowance = self._allowances.get(tenant) or Allowance()
        if self._limit is None or allowance.taken + amount > self._limit:
            return None
        allowance.taken += amount
        self._allowances[tenant] = allowance
        UNGUARDED.inc()
        log.warning("Cycles is out of reach: served unguarded", tenant=tenant, taken_microcents=allowance.taken)
        return allowance

    def outage_is_over(self, tenant: str) -> None:
        self._allowances.pop(tenant, None)

    def book(self, config: CyclesConfig, subject: Subject, model: str, cost: int) -> str | None:
        """Journal `cost` microcents as an event, to be delivered when Cycles is back. Returns its idempotency key.

        What cannot be written down is lost to the ledger: it is counted and logged as uncharged.
        """
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
        entry = PendingCommitRecord(key, config.base_url, mode="event", event_fallback_body=event)
        if not journalled(CommitJournal(folder), entry):
            UNCHARGED.inc(cost)
            log.error("served unguarded and never booked: no journal", tenant=config.tenant, microcents=cost)
        return key
