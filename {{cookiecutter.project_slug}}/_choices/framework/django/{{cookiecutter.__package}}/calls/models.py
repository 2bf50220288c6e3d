"""The table of guarded calls. What the columns mean is told in record.py."""

from django.db import models

from ..core.database import Row
from .record import Amendment


class CallRow(Row):
    id = models.CharField(max_length=64, primary_key=True)
    at = models.DateTimeField(db_index=True)
    tenant = models.CharField(max_length=64)
    end_user = models.CharField(max_length=256, null=True)
    route = models.CharField(max_length=256)
    model = models.CharField(max_length=256)
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    hold = models.BigIntegerField()
    cost = models.BigIntegerField()
    uncharged = models.BigIntegerField()
    outcome = models.CharField(max_length=64)
    reservation_id = models.CharField(max_length=256, null=True)
    request_id = models.CharField(max_length=256)
    duration_ms = models.IntegerField()

    class Meta:
        db_table = "calls"
        verbose_name = "call"
        ordering = ("-at", "id")
        indexes = (models.Index(fields=("tenant", "at"), name="ix_calls_tenant_at"),)

    def __str__(self) -> str:
        return self.id

    @classmethod
    def amend(cls, amendment: Amendment) -> None:
        """Write down what no ledger took of a call's cost, if its record does not tell already."""
        theirs = cls.objects.filter(tenant=amendment.tenant, reservation_id=amendment.reservation_id, uncharged=0)
        theirs.update(uncharged=amendment.uncharged, cost=models.F("cost") - amendment.uncharged)
