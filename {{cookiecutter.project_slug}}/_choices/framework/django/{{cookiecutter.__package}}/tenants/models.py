"""Tables of tenants and their API keys. Operators are staff users. Amounts are microcents, times are UTC."""

from django.db import models
from django.utils import timezone


class Tenant(models.Model):
    """A customer. `budget` and `overdraft` are those of `tenants add`.

    Unless `every` (month, week, day) is none, the budget renews at `renews_at`, midnight in `time_zone`.
    `period_budget` is the part of the current allocation that is no credit of `fund`. `alert_urls` are encrypted.

    `status` is active, suspended or closed. Calls of an `observed` one are served beyond its budget. `sealed_key`
    is the Cycles key, encrypted. `cycles_key_name` is the name of all its keys at Cycles, random so that keys of
    interrupted runs are found, and none of another registry. All of them but the current one can be revoked at
    `retire_at`. `version` counts changes of the tenant and its API keys.
    """

    id = models.CharField(max_length=64, primary_key=True)
    name = models.CharField(max_length=256)
    status = models.CharField(max_length=16, default="active")
    budget = models.BigIntegerField()
    overdraft = models.BigIntegerField(default=0)
    period_budget = models.BigIntegerField(default=0)
    every = models.CharField(max_length=8, default="none")
    time_zone = models.CharField(max_length=64, default="UTC")
    renews_at = models.DateTimeField(null=True, db_index=True)
    alert_urls = models.TextField(default="")
    sealed_key = models.TextField(default="")
    cycles_key_id = models.CharField(max_length=256, default="")
    cycles_key_name = models.CharField(max_length=256)
    cycles_key_expires_at = models.DateTimeField(null=True)
    retire_at = models.DateTimeField(null=True, db_index=True)
    onboarded = models.BooleanField(default=False)
    observed = models.BooleanField(default=False)
    version = models.IntegerField(default=0, db_index=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        db_table = "tenants"
        ordering = ("id",)

    def __str__(self) -> str:
        return self.id


class ApiKey(models.Model):
    """A caller's key, stored as its SHA-256. People recognise it by its ID, which is part of it."""

    id = models.CharField(max_length=16, primary_key=True)
    tenant = models.ForeignKey(Tenant, models.PROTECT)
    name = models.CharField(max_length=256)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=timezone.now)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "api_keys"
        verbose_name = "API key"
        ordering = ("created_at",)

    def __str__(self) -> str:
        return self.id


class Adjustment(models.Model):
    """A `fund` with a reference or a `reset` with a period, applied once forever.

    `reference` begins with fund or reset. A renewal keeps unspent credit `keeps_above` the period's budget.
    `idempotency_key` is sent to Cycles, which keeps it for 24 hours.
    """

    reference = models.CharField(max_length=256, primary_key=True)
    tenant = models.ForeignKey(Tenant, models.PROTECT)
    amount = models.BigIntegerField()
    keeps_above = models.BigIntegerField(null=True)
    idempotency_key = models.CharField(max_length=256)
    created_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "adjustments"


class SignIn(models.Model):
    """A tenant's session of the dashboard. It begins as a link, until that is `used`.

    Its ID is the SHA-256 of the link's secret.
    """

    id = models.CharField(max_length=64, primary_key=True)
    tenant = models.ForeignKey(Tenant, models.CASCADE)
    used = models.BooleanField(default=False)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "sign_ins"
