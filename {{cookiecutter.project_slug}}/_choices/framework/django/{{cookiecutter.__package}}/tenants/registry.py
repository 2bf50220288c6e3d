"""The registry of tenants, in the database. Plain records go in and out; see records.py."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import uuid4

from django.contrib.auth.models import User
from django.db import Error, IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from ..core.database import Row, in_database
from .models import AdjustmentRow, ApiKeyRow, SignInLinkRow, TenantRow, VersionRow
from .records import Adjustment, ApiKey, Operator, Tenant, may_be_name

DATABASE_ERRORS = (Error, OSError)


@asynccontextmanager
async def open_registry(_database_url: str) -> AsyncIterator["Registry"]:
    """The registry, for commands. Django has the database open already, by its settings."""
    yield Registry()


class Registry:
    """Raises DATABASE_ERRORS when the database does not answer."""

    @in_database
    def ready(self) -> None:
        """Raise what keeps the database from answering."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    @in_database
    def is_migrated(self) -> bool:
        """Whether all migrations of this version have run; those of a later one only add to the tables."""
        executor = MigrationExecutor(connection)
        return not executor.migration_plan(executor.loader.graph.leaf_nodes())

    @in_database
    def version(self) -> str:
        """Another one after each change of a tenant's record and each key that was revoked."""
        return VersionRow.objects.values_list("version", flat=True).first() or ""

    @in_database
    def add_tenant(self, tenant: Tenant) -> bool:
        """False when the ID is taken."""
        return _add(TenantRow.of(tenant))

    @in_database
    def tenant(self, tenant_id: str) -> Tenant | None:
        if not may_be_name(tenant_id):
            return None
        row = TenantRow.objects.filter(id=tenant_id).first()
        return Tenant(**row.values()) if row else None

    @in_database
    def tenants(self) -> list[Tenant]:
        """All of them, by ID."""
        return [Tenant(**row.values()) for row in TenantRow.objects.order_by("id")]

    @in_database
    def tenants_to_retire(self, now: datetime) -> list[Tenant]:
        """Those with replaced Cycles keys whose time has come."""
        return [Tenant(**row.values()) for row in TenantRow.objects.filter(retire_at__lte=now).order_by("id")]

    @in_database
    def update_tenant(self, tenant_id: str, given: Mapping[str, Any] | None = None, **changes: Any) -> bool:
        """Set members of the tenant's record. False, and nothing is set, unless it still has the `given` ones."""
        with transaction.atomic():
            return _update(tenant_id, given or {}, changes)

    @in_database
    def finish_onboarding(self, tenant_id: str, first_key: ApiKey | None) -> bool:
        """Onboarded, with its callers' first key. False, and nothing is stored, if it was before."""
        with transaction.atomic():
            changed = _update(tenant_id, {"onboarded": False}, {"onboarded": True})
            if changed and first_key:
                ApiKeyRow.of(first_key).save(force_insert=True)
        return changed

    @in_database
    def add_api_key(self, key: ApiKey) -> None:
        ApiKeyRow.of(key).save(force_insert=True)

    @in_database
    def api_keys(self, tenant_id: str) -> list[ApiKey]:
        """All keys of a tenant, oldest first, revoked ones too."""
        return [ApiKey(**row.values()) for row in ApiKeyRow.objects.filter(tenant=tenant_id).order_by("created_at")]

    @in_database
    def revoke_api_key(self, key_id: str, now: datetime) -> None:
        with transaction.atomic():
            ApiKeyRow.objects.filter(id=key_id).update(revoked_at=now)
            _move()

    @in_database
    def find_api_key(self, digest: str) -> tuple[ApiKey, Tenant] | None:
        """The live key with this SHA-256, and whose it is."""
        row = ApiKeyRow.objects.select_related("tenant").filter(digest=digest, revoked_at=None).first()
        return (ApiKey(**row.values()), Tenant(**row.tenant.values())) if row else None

    @in_database
    def touch_api_keys(self, used: Mapping[str, datetime]) -> None:
        """Write down when keys (by ID) were last used."""
        with transaction.atomic():
            for key_id, at in sorted(used.items()):
                ApiKeyRow.objects.filter(id=key_id).update(last_used_at=at)

    @in_database
    def add_adjustment(self, adjustment: Adjustment) -> bool:
        """False when its reference was used before."""
        return _add(AdjustmentRow.of(adjustment))

    @in_database
    def adjustment(self, reference: str) -> Adjustment | None:
        row = AdjustmentRow.objects.filter(reference=reference).first()
        return Adjustment(**row.values()) if row else None

    @in_database
    def finish_adjustment(self, done: Adjustment) -> None:
        """Keep that it is done, also where another run has dropped it meanwhile."""
        AdjustmentRow.of(done).save()

    @in_database
    def drop_adjustment(self, reference: str) -> None:
        """Forget one that is not done."""
        AdjustmentRow.objects.filter(reference=reference, done_at=None).delete()

    @in_database
    def keys_that_expire(self, before: datetime, limit: int) -> list[Tenant]:
        """Open tenants whose Cycles key expires before a time, the next first."""
        rows = TenantRow.objects.filter(cycles_key_expires_at__lt=before).exclude(status="closed")
        return [Tenant(**row.values()) for row in rows.order_by("cycles_key_expires_at")[:limit]]

    @in_database
    def add_link(self, digest: str, tenant: str, expires_at: datetime, now: datetime) -> None:
        """Keep a link to sign in by; those that have expired go."""
        SignInLinkRow.objects.filter(expires_at__lt=now).delete()
        SignInLinkRow.objects.create(digest=digest, tenant_id=tenant, expires_at=expires_at)

    @in_database
    def spend_link(self, digest: str, now: datetime) -> str | None:
        """Whose link it is, told once; None for one that is unknown, spent or expired."""
        link = SignInLinkRow.objects.filter(digest=digest, expires_at__gt=now).first()
        if link is None or not SignInLinkRow.objects.filter(digest=digest).delete()[0]:
            return None  # or somebody else was quicker
        return link.tenant_id

    @in_database
    def save_operator(self, operator: Operator) -> None:
        """Add an operator, or give one that is there another password."""
        given = {"password": operator.password_hash, "is_staff": True, "is_active": True}
        User.objects.update_or_create(username=operator.name, defaults=given)

    @in_database
    def operator(self, name: str) -> Operator | None:
        """A member of the staff who may sign in."""
        if not may_be_name(name):
            return None
        user = User.objects.filter(username=name, is_staff=True, is_active=True).first()
        return Operator(name=user.username, password_hash=user.password) if user else None


def _update(tenant_id: str, given: Mapping[str, Any], changes: Mapping[str, Any]) -> bool:
    changed = TenantRow.objects.filter(id=tenant_id, **given).update(**changes) == 1
    if changed:
        _move()
    return changed


def _move() -> None:
    VersionRow.upsert([VersionRow(id=1, version=str(uuid4()))], "id")


def _add(row: Row) -> bool:
    try:
        row.save(force_insert=True)
    except IntegrityError:
        return False
    return True
