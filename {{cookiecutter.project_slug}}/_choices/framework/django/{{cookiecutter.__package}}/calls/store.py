"""Guarded calls in the database: written in batches, read newest first, kept for a bounded time."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q, Subquery

from ..database import in_database
from .models import CallRow
from .record import CallRecord


class CallStore:
    """Raises django.db.Error or OSError when the database does not answer."""

    @in_database
    def insert(self, records: Sequence[CallRecord]) -> None:
        """Write a batch. Rows that an earlier try has written already are left as they are."""
        CallRow.objects.bulk_create((CallRow.of(record) for record in records), ignore_conflicts=True)

    @in_database
    def latest(self, tenant: str | None, limit: int) -> list[CallRecord]:
        """The newest calls of a tenant, or of all (None), newest first."""
        rows = CallRow.objects.order_by("-at", "id")
        if tenant is not None:
            rows = rows.filter(tenant=tenant)
        return [CallRecord(**row.values()) for row in rows[:limit]]

    @in_database
    def prune(self, keep_newest: int, older_than: datetime) -> None:
        """Delete what is older than a time, and all but the newest `keep_newest` rows."""
        newest_to_go = CallRow.objects.order_by("-at").values("at")[keep_newest : keep_newest + 1]
        CallRow.objects.filter(Q(at__lt=older_than) | Q(at__lte=Subquery(newest_to_go))).delete()
