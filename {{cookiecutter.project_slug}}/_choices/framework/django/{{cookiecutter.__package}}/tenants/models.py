"""The registry's tables. What the columns mean is told in records.py. Operators are staff users of contrib.auth."""

from django.db import models

from ..core.database import Row


class TenantRow(Row):
    id = models.CharField(max_length=64, primary_key=True)
    name = models.CharField(max_length=256)
    status = models.CharField(max_length=16)
    budget = models.BigIntegerField()
    overdraft = models.BigIntegerField()
    sealed_key = models.TextField()
    cycles_key_id = models.CharField(max_length=256)
    cycles_key_name = models.CharField(max_length=256)
    cycles_key_expires_at = models.DateTimeField(null=True)
    retire_at = models.DateTimeField(null=True, db_index=True)
    onboarded = models.BooleanField()
    created_at = models.DateTimeField()

    class Meta:
        db_table = "tenants"
        verbose_name = "tenant"
        ordering = ("id",)

    def __str__(self) -> str:
        return self.id


class ApiKeyRow(Row):
    id = models.CharField(max_length=16, primary_key=True)
    tenant = models.ForeignKey(TenantRow, models.PROTECT, db_column="tenant")
    name = models.CharField(max_length=256)
    prefix = models.CharField(max_length=16)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "api_keys"
        verbose_name = "API key"
        ordering = ("created_at",)

    def __str__(self) -> str:
        return self.prefix


class VersionRow(Row):
    """One row, written anew by whatever changes who is served: see Registry.version."""

    id = models.IntegerField(primary_key=True)
    version = models.CharField(max_length=36)

    class Meta:
        db_table = "registry_version"

    def __str__(self) -> str:
        return self.version


class AdjustmentRow(Row):
    reference = models.CharField(max_length=256, primary_key=True)
    tenant = models.ForeignKey(TenantRow, models.PROTECT, db_column="tenant")
    kind = models.CharField(max_length=16)
    amount = models.BigIntegerField()
    idempotency_key = models.CharField(max_length=256)
    created_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "adjustments"
        verbose_name = "adjustment"

    def __str__(self) -> str:
        return self.reference


class SignInLinkRow(Row):
    digest = models.CharField(max_length=64, primary_key=True)
    tenant = models.ForeignKey(TenantRow, models.CASCADE, db_column="tenant")
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        db_table = "sign_in_links"

    def __str__(self) -> str:
        return f"for {self.tenant_id}"
