"""Guarded calls and balances in the database."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q, Subquery, Sum

from ..core.database import in_database
from .models import SERVED, Alert, Balance, Call
from .query import CallQuery

AMOUNTS = ("at", "allocated", "spent", "reserved", "remaining", "debt", "overdraft_limit", "is_over_limit")


class CallStore:
    """Raises django.db.Error or OSError when the database does not answer."""

    @in_database
    def insert(self, records: Sequence[Call]) -> None:
        """Write a batch. Rows that exist already stay as they are."""
        Call.objects.bulk_create(records, ignore_conflicts=True)

    @in_database
    def prune(self, keep_newest: int, older_than: datetime) -> None:
        """Delete rows older than a time, and all but the newest `keep_newest` rows."""
        newest_to_go = Call.objects.order_by("-at").values("at")[keep_newest : keep_newest + 1]
        Call.objects.filter(Q(at__lt=older_than) | Q(at__lte=Subquery(newest_to_go))).delete()

    @in_database
    def latest(self, query: CallQuery, limit: int) -> list[Call]:
        """Return the newest calls that match, newest first."""
        end, end_id = query.end()
        earlier = Q(at__lt=end) | Q(at=end, id__lt=end_id)
        rows = Call.objects.filter(earlier, at__range=(query.since, end), **query.texts()).order_by("-at", "-id")
        return list((rows.exclude(outcome__in=SERVED) if query.outcome == "refused" else rows)[:limit])

    @in_database
    def horizon(self, query: CallQuery, calls: int) -> datetime | None:
        """Return the time of the call after so many that match, from the newest on, if there is one."""
        times = Call.objects.filter(at__range=(query.since, query.end()[0]), **query.texts()).order_by("-at")
        return times.values_list("at", flat=True)[calls : calls + 1].first()

    @in_database
    def uncharged(self, since: datetime) -> int:
        """Return the microcents that no ledger took."""
        rows = Call.objects.filter(at__gte=since, uncharged__gt=0)
        return int(rows.aggregate(sum=Sum(F("uncharged") * 1.0))["sum"] or 0)

    @in_database
    def balances(self, tenants: Sequence[str]) -> dict[str, Balance]:
        """Return the stored balances by tenant ID."""
        return {row.tenant_id: row for row in Balance.objects.filter(pk__in=tenants)}

    @in_database
    def save_balances(self, balances: Sequence[Balance]) -> None:
        """Write the balances that are newer than the stored ones."""
        stored = Balance.objects.filter(pk__in=[row.tenant_id for row in balances]).order_by("pk")
        with transaction.atomic():
            known = dict(stored.select_for_update().values_list("pk", "at"))
            latest = [row for row in balances if row.at >= known.get(row.tenant_id, row.at)]
            Balance.objects.bulk_create(latest, update_conflicts=True, unique_fields=["tenant"], update_fields=AMOUNTS)

    @in_database
    def move_reported(self, tenant: str, was: int, to: int, alerts: Sequence[Alert]) -> bool:
        """Set the threshold that was reported, and store its alerts. Return False if it is not `was` any more."""
        with transaction.atomic():
            is_ours = Balance.objects.filter(pk=tenant, reported=was).update(reported=to) == 1
            Alert.objects.bulk_create(alerts if is_ours else ())
        return is_ours
