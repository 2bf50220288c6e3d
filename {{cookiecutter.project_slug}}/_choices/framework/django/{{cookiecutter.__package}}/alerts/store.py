"""Alerts and the last success of housekeeping in the database."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction

from ..core.database import in_database
from .models import Alert, Success

KEPT_FOR = timedelta(days=90)
BATCH = 50


class AlertStore:
    """The part of the registry that concerns housekeeping."""

    @in_database
    def add_alerts(self, alerts: Sequence[Alert]) -> None:
        """Store alerts. Those whose ID exists stay as they are."""
        Alert.objects.bulk_create(alerts, ignore_conflicts=True)

    @in_database
    def claim_alerts(self, now: datetime, until: datetime) -> list[Alert]:
        """Return alerts to deliver, and keep others from them until a time. Delete those delivered long ago."""
        Alert.objects.filter(delivered_at__lt=now - KEPT_FOR).delete()
        due = Alert.objects.filter(delivered_at=None, next_try_at__lte=now).order_by("created_at")
        with transaction.atomic():
            alerts = [*due.select_for_update()[:BATCH]]
            Alert.objects.filter(pk__in=[alert.pk for alert in alerts]).update(next_try_at=until)
        return alerts

    @in_database
    def last_success(self) -> datetime | None:
        """Return when all steps of housekeeping last succeeded."""
        return Success.objects.values_list("at", flat=True).first()
