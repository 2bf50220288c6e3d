"""Guarded calls in the database: written in batches, read newest first, kept for a bounded time."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Count, Q, Subquery, Sum
from django.db.models.functions import TruncHour

from ..core.database import in_database
from .models import CallRow
from .record import SERVED, Amendment, CallRecord, Refusals, Share


class CallStore:
    """Raises django.db.Error or OSError when the database does not answer."""

    @in_database
    def insert(self, records: Sequence[CallRecord]) -> None:
        """Write a batch. Rows that an earlier try has written already are left as they are."""
        CallRow.objects.bulk_create((CallRow.of(record) for record in records), ignore_conflicts=True)

    @in_database
    def latest(self, tenant: str | None, limit: int, before: CallRecord | None = None) -> list[CallRecord]:
        """The newest calls of a tenant, or of all (None), newest first; `before` is the last one of the page before."""
        rows = CallRow.objects.order_by("-at", "-id")
        if tenant is not None:
            rows = rows.filter(tenant=tenant)
        if before is not None:
            rows = rows.filter(Q(at__lt=before.at) | Q(at=before.at, id__lt=before.id), at__lte=before.at)
        return [CallRecord(**row.values()) for row in rows[:limit]]

    @in_database
    def refusals(self, since: datetime) -> list[Refusals]:
        """By hour and reason."""
        refused = CallRow.objects.filter(at__gte=since).exclude(outcome__in=SERVED).order_by()
        rows = refused.values_list(TruncHour("at"), "outcome").annotate(Count("id"))
        return [Refusals(int(hour.timestamp()) // 3600, outcome, count) for hour, outcome, count in rows]

    @in_database
    def uncharged(self, since: datetime) -> int:
        """Microcents that no ledger took."""
        rows = CallRow.objects.filter(at__gte=since, uncharged__gt=0)
        return int(rows.aggregate(sum=Sum("uncharged"))["sum"] or 0)

    @in_database
    def shares(self, tenant: str, kind: str, since: datetime, limit: int) -> list[Share]:
        """What took most of a tenant's spend, by `model`, `route` or `end_user`, the largest first."""
        rows = CallRow.objects.filter(tenant=tenant, at__gte=since, cost__gt=0).order_by()
        largest = rows.values_list(kind).annotate(taken=Sum("cost"), calls=Count("id")).order_by("-taken")
        return [Share(name, int(cost), count) for name, cost, count in largest[:limit]]

    @in_database
    def amend(self, amendment: Amendment) -> None:
        CallRow.amend(amendment)

    @in_database
    def prune(self, keep_newest: int, older_than: datetime) -> None:
        """Delete what is older than a time, and all but the newest `keep_newest` rows."""
        newest_to_go = CallRow.objects.order_by("-at").values("at")[keep_newest : keep_newest + 1]
        CallRow.objects.filter(Q(at__lt=older_than) | Q(at__lte=Subquery(newest_to_go))).delete()
