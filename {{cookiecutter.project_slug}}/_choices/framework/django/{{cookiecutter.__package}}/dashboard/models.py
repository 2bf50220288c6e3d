"""The dashboard's tables. What the columns mean is told in records.py."""

from django.db import models

from ..core.database import Row
from ..tenants.models import Tenant


class StandingRow(Row):
    # no constraint: Cycles may tell of tenants that this registry does not know
    tenant = models.OneToOneField(
        Tenant,
        models.CASCADE,
        db_column="tenant",
        db_constraint=False,
        primary_key=True,
        related_name="standing",
    )
    at = models.DateTimeField()
    scope = models.CharField(max_length=256)
    allocated = models.BigIntegerField()
    spent = models.BigIntegerField()
    reserved = models.BigIntegerField()
    remaining = models.BigIntegerField()
    debt = models.BigIntegerField()
    overdraft_limit = models.BigIntegerField()
    is_over_limit = models.BooleanField()
    mark_at = models.BigIntegerField()
    mark_used = models.BigIntegerField()
    next_at = models.BigIntegerField()
    next_used = models.BigIntegerField()
    alerted = models.BigIntegerField(db_default=0)
    claimed_at = models.BigIntegerField(db_default=0)

    class Meta:
        db_table = "standings"

    def __str__(self) -> str:
        return str(self.pk)


class HourlyBalanceRow(Row):
    pk = models.CompositePrimaryKey("tenant", "hour")
    tenant = models.CharField(max_length=64)
    hour = models.IntegerField(db_index=True)
    allocated = models.BigIntegerField()
    remaining = models.BigIntegerField()

    class Meta:
        db_table = "hourly_balances"

    def __str__(self) -> str:
        return f"{self.tenant} {self.hour}"


class AuditRow(Row):
    id = models.CharField(max_length=64, primary_key=True)
    at = models.DateTimeField(db_index=True)
    operator = models.CharField(max_length=256)
    action = models.CharField(max_length=64)
    tenant = models.CharField(max_length=64, db_index=True)
    before = models.TextField()
    after = models.TextField(null=True)

    class Meta:
        db_table = "audit"

    def __str__(self) -> str:
        return self.id
