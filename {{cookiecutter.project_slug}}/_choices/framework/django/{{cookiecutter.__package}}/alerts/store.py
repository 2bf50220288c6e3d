"""Alerts and the last success of housekeeping in the database."""

from collections.abc import Sequence
from datetime import datetime

from ..core.database import in_database
from .models import Alert, Housekeeping


class AlertStore:
    """The part of the registry that concerns housekeeping."""

    @in_database
    def add_alerts(self, alerts: Sequence[Alert]) -> None:
        """Store alerts. Those whose ID exists stay as they are."""
        Alert.objects.bulk_create(alerts, ignore_conflicts=True)

    @in_database
    def due_alerts(self, now: datetime, limit: int) -> list[Alert]:
        """Return the alerts to deliver, oldest first."""
        due = Alert.objects.filter(delivered_at=None, next_try_at__lte=now)
        return [*due.order_by("created_at")[:limit]]

    @in_database
    def claim_alert(self, alert: Alert, until: datetime) -> bool:
        """Keep others from sending an alert until a time. Return False if another worker was faster."""
        mine = Alert.objects.filter(pk=alert.pk, next_try_at=alert.next_try_at, delivered_at=None)
        return mine.update(next_try_at=until) == 1

    @in_database
    def save_alert(self, alert: Alert) -> None:
        alert.save()

    @in_database
    def drop_alerts(self, before: datetime) -> None:
        """Delete the alerts that were delivered before a time."""
        Alert.objects.filter(delivered_at__lt=before).delete()

    @in_database
    def last_success(self) -> datetime | None:
        """Return when all steps of housekeeping last succeeded."""
        return Housekeeping.objects.values_list("succeeded_at", flat=True).first()

    @in_database
    def succeeded(self, at: datetime) -> None:
        """Record that all steps of housekeeping have succeeded."""
        Housekeeping.objects.update_or_create(pk=1, defaults={"succeeded_at": at})
