"""Tables of guarded calls and balances."""

import secrets
from functools import partial

from django.db import models
from django.utils import timezone


class Call(models.Model):
    """A guarded call; amounts in microcents.

    `outcome` is `charged`, `released`, `unguarded` (served while Cycles was unreachable), `observed` (served
    although the ledger `scope` would have refused it) or the code of the problem that refused it. `uncharged` is
    the spend that no ledger took. `remaining` is that of the tenant's widest ledger after the call, if known.
    """

    id = models.CharField(max_length=64, primary_key=True, default=partial(secrets.token_hex, 16))
    at = models.DateTimeField(default=timezone.now)
    tenant = models.CharField(max_length=64)
    end_user = models.CharField(max_length=256, null=True)
    route = models.CharField(max_length=256)
    model = models.CharField(max_length=256, default="")
    input_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    hold = models.BigIntegerField(default=0)
    cost = models.BigIntegerField(default=0)
    uncharged = models.BigIntegerField(default=0)
    outcome = models.CharField(max_length=64)
    scope = models.TextField(null=True)
    reservation_id = models.CharField(max_length=256, null=True)
    request_id = models.CharField(max_length=256, default="")
    duration_ms = models.IntegerField(default=0)
    remaining = models.BigIntegerField(null=True)

    class Meta:
        db_table = "calls"
        indexes = (
            # all that sums over many calls read of one
            models.Index(fields=("tenant", "at", "cost", "outcome", "model"), name="ix_calls_tenant_at"),
            models.Index(fields=("at", "tenant", "model", "cost", "outcome", "uncharged"), name="ix_calls_at"),
            models.Index(fields=("request_id", "tenant", "at"), name="ix_calls_request_id_tenant_at"),
        )


SERVED = ("charged", "released", "unguarded", "observed")
"""Outcomes of calls that were not refused."""


class Balance(models.Model):
    """The widest ledger of a tenant as Cycles returned it to a request sent at `at`; amounts in microcents.

    `reported` is the highest threshold that was reported, in per cent.
    """

    # no constraint: Cycles may return tenants that are not in this registry
    tenant = models.OneToOneField(
        "tenants.Tenant", models.CASCADE, db_constraint=False, primary_key=True, related_name="balance"
    )
    at = models.DateTimeField()
    allocated = models.BigIntegerField()
    spent = models.BigIntegerField()
    reserved = models.BigIntegerField()
    remaining = models.BigIntegerField()
    debt = models.BigIntegerField()
    overdraft_limit = models.BigIntegerField()
    is_over_limit = models.BooleanField()
    reported = models.BigIntegerField(default=0)

    class Meta:
        db_table = "balances"


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


class Success(models.Model):
    """When all steps of housekeeping last succeeded: one row."""

    id = models.IntegerField(primary_key=True)
    at = models.DateTimeField()

    class Meta:
        db_table = "housekeeping"
