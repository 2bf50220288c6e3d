"""The registry: tenants, API keys, adjustments and operators in the database."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from django.contrib.auth.models import User
from django.db import Error, IntegrityError, connection, models, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from ..calls.models import Alert, Call, Success
from ..core.database import in_database
from .models import Adjustment, ApiKey, SignIn, Tenant

DATABASE_ERRORS = (Error, OSError)
ALERTS_KEPT_FOR = timedelta(days=90)
ALERTS_AT_ONCE = 50

Record = TypeVar("Record", bound=models.Model)


@asynccontextmanager
async def open_registry(_database_url: str) -> AsyncIterator["Registry"]:
    """Open a registry, for commands. The settings have configured the database."""
    yield Registry()


@cache
def _newest_migrations() -> set[tuple[str, str]]:
    return set(MigrationLoader(None).graph.leaf_nodes())


class Registry:
    """Raises DATABASE_ERRORS if the database fails."""

    @in_database
    def is_migrated(self) -> bool:
        """Return whether all migrations of this version have run. Those of later versions don't matter."""
        return _newest_migrations() <= MigrationRecorder(connection).applied_migrations().keys()

    @in_database
    def version(self) -> int:
        """Return a number that grows with every change of a tenant and every revoked key. Caches compare it."""
        return Tenant.objects.aggregate(total=models.Sum("version"))["total"] or 0

    @in_database
    def add(self, record: models.Model) -> bool:
        """Return False if the ID, or whatever must be unique, is taken."""
        try:
            record.save(force_insert=True)
        except IntegrityError:
            return False
        return True

    @in_database
    def save(self, record: models.Model) -> None:
        """Update a record, or add it if it does not exist."""
        record.save()

    @in_database
    def get(self, model: type[Record], key: str) -> Record | None:
        """Return the record with this primary key."""
        if not key.isprintable():  # PostgreSQL refuses NUL, drivers refuse lone surrogates
            return None
        return models.QuerySet(model).filter(pk=key).first()

    async def tenant(self, tenant_id: str) -> Tenant | None:
        return await self.get(Tenant, tenant_id)

    @in_database
    def tenants(self) -> list[Tenant]:
        """Return all tenants by ID."""
        return [*Tenant.objects.all()]

    @in_database
    def tenants_to_retire(self, now: datetime) -> list[Tenant]:
        """Return the tenants with rotated keys whose grace period has ended."""
        return [*Tenant.objects.filter(retire_at__lte=now)]

    @in_database
    def tenants_to_renew(self, now: datetime) -> list[Tenant]:
        """Return the active tenants whose next period has begun."""
        active = Tenant.objects.filter(status="active", onboarded=True)
        return [*active.filter(renews_at__lte=now).order_by("renews_at")]

    @in_database
    def keys_that_expire(self, before: datetime, limit: int) -> list[Tenant]:
        """Return open tenants whose Cycles key expires before a time, earliest first."""
        expiring = Tenant.objects.filter(cycles_key_expires_at__lt=before).exclude(status="closed")
        return [*expiring.order_by("cycles_key_expires_at")[:limit]]

    @in_database
    def usage(self, tenant_id: str) -> list[tuple[str, str | None, int, int, int]]:
        """Return (outcome, scope, calls, held, used) of a tenant's recorded calls, in microcents."""
        groups = Call.objects.filter(tenant=tenant_id).values_list("outcome", "scope")
        used = models.Sum(models.F("cost") + models.F("uncharged"))
        rows = groups.annotate(calls=models.Count("id"), held=models.Sum("hold"), used=used)
        return [(outcome, scope, calls, int(held), int(used)) for outcome, scope, calls, held, used in rows]

    @in_database
    def update_tenant(
        self, tenant_id: str, given: Mapping[str, Any] | None = None, new_key: ApiKey | None = None, **changes: Any
    ) -> bool:
        """Set columns and add an API key. Return False, changing nothing, if a `given` column has another value."""
        changes["version"] = models.F("version") + 1
        with transaction.atomic():
            is_changed = Tenant.objects.filter(id=tenant_id, **(given or {})).update(**changes) == 1
            if is_changed and new_key:
                new_key.save(force_insert=True)
        return is_changed

    @in_database
    def api_keys(self, tenant_id: str) -> list[ApiKey]:
        """Return a tenant's keys, oldest first, revoked ones included."""
        return [*ApiKey.objects.filter(tenant_id=tenant_id)]

    @in_database
    def find_api_key(self, digest: str) -> ApiKey | None:
        """Return the live key with this SHA-256, with its tenant."""
        return ApiKey.objects.select_related("tenant").filter(digest=digest, revoked_at=None).first()

    @in_database
    def touch_api_key(self, key_id: str, now: datetime) -> None:
        """Record that a key was used."""
        ApiKey.objects.filter(id=key_id).update(last_used_at=now)

    @in_database
    def revoke_api_key(self, key: ApiKey, now: datetime) -> None:
        with transaction.atomic():
            ApiKey.objects.filter(id=key.id).update(revoked_at=now)
            Tenant.objects.filter(id=key.tenant_id).update(version=models.F("version") + 1)

    @in_database
    def drop_adjustment(self, reference: str) -> None:
        """Delete an adjustment that is not done."""
        Adjustment.objects.filter(reference=reference, done_at=None).delete()

    @in_database
    def add_alerts(self, alerts: Sequence[Alert]) -> None:
        """Store alerts. Those whose ID exists stay as they are."""
        Alert.objects.bulk_create(alerts, ignore_conflicts=True)

    @in_database
    def claim_alerts(self, now: datetime, until: datetime) -> list[Alert]:
        """Return alerts to deliver, and keep others from them until a time. Delete those delivered long ago."""
        Alert.objects.filter(delivered_at__lt=now - ALERTS_KEPT_FOR).delete()
        due = Alert.objects.filter(delivered_at=None, next_try_at__lte=now).order_by("created_at")
        with transaction.atomic():
            alerts = [*due.select_for_update()[:ALERTS_AT_ONCE]]
            Alert.objects.filter(pk__in=[alert.pk for alert in alerts]).update(next_try_at=until)
        return alerts

    @in_database
    def last_success(self) -> datetime | None:
        """Return when all steps of housekeeping last succeeded."""
        return Success.objects.values_list("at", flat=True).first()

    @in_database
    def add_sign_in(self, record: SignIn) -> None:
        """Store a link. Deletes expired ones and sessions."""
        SignIn.objects.filter(expires_at__lt=timezone.now()).delete()
        record.save(force_insert=True)

    @in_database
    def use_link(self, link: str, expires_at: datetime) -> bool:
        """Make a link a session until `expires_at`. Return False if it is unknown, used or expired."""
        unused = SignIn.objects.filter(id=link, used=False, expires_at__gt=timezone.now())
        return unused.update(used=True, expires_at=expires_at) == 1

    @in_database
    def sign_in(self, session_id: str) -> SignIn | None:
        """Return a session, with its tenant, unless it has ended."""
        live = SignIn.objects.filter(id=session_id, used=True, expires_at__gt=timezone.now())
        return live.select_related("tenant").first()

    @in_database
    def end_sessions(self, **owner: str) -> None:
        """Delete the sessions with this `id` or `tenant_id`, and links."""
        SignIn.objects.filter(**owner).delete()

    @in_database
    def save_operator(self, name: str, password_hash: str) -> bool:
        """Add an operator, or replace the password, which ends their sessions. Return whether it was added."""
        given = {"password": password_hash, "is_staff": True, "is_active": True}
        return User.objects.update_or_create(username=name, defaults=given)[1]

    @in_database
    def remove_operator(self, name: str) -> None:
        """Delete an operator. Sessions of a user that does not exist are none."""
        User.objects.filter(username=name).delete()

    @in_database
    def operators(self) -> list[str]:
        """Return the names of all operators."""
        return [*User.objects.filter(is_staff=True).order_by("username").values_list("username", flat=True)]
