"""Tables of alerts and of the last success of housekeeping. Times are UTC."""

from django.db import models
from django.utils import timezone


class Alert(models.Model):
    """Something that people should know. Its ID says what happened, so that it is stored once.

    `tenant_id` is the tenant whose addresses get it too. `delivered_to` has digests of the addresses that accepted it.
    """

    id = models.CharField(max_length=256, primary_key=True)
    tenant_id = models.CharField(max_length=64, null=True)
    text = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
    next_try_at = models.DateTimeField(db_index=True, default=timezone.now)
    delivered_to = models.TextField(default="")
    delivered_at = models.DateTimeField(null=True, db_index=True)

    class Meta:
        db_table = "alerts"

    def __str__(self) -> str:
        return self.id


class Success(models.Model):
    """When all steps of housekeeping last succeeded: one row."""

    id = models.IntegerField(primary_key=True)
    at = models.DateTimeField()

    class Meta:
        db_table = "housekeeping"

    def __str__(self) -> str:
        return str(self.at)
