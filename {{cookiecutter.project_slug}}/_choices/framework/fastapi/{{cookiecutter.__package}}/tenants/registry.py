"""The registry: tenants, API keys, adjustments and operators in the database."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from ..calls.models import Alert, Call, Success
from ..core.database import Base, Database, Store
from .models import Adjustment, ApiKey, Operator, SignIn, Tenant

DATABASE_ERRORS = (SQLAlchemyError, OSError)
ALERTS_KEPT_FOR = timedelta(days=90)
ALERTS_AT_ONCE = 50

Record = TypeVar("Record", bound=Base)


@asynccontextmanager
async def open_registry(database_url: str) -> AsyncIterator["Registry"]:
    """Open a registry with a database of its own, for commands."""
    async with Database(database_url) as database:
        yield Registry(database)


class Registry(Store):
    """Raises DATABASE_ERRORS if the database fails."""

    async def is_migrated(self) -> bool:
        """Return whether all migrations of this version have run."""
        return await self._database.is_migrated()

    async def version(self) -> int:
        """Return a number that grows with every change of a tenant and every revoked key. Caches compare it."""
        return await self._database.scalar(select(func.sum(Tenant.version))) or 0

    async def add(self, record: Base) -> bool:
        """Return False if the ID, or whatever must be unique, is taken."""
        try:
            async with self._database.begin() as session:
                session.add(record)
        except IntegrityError:
            return False
        return True

    async def save(self, record: Base) -> None:
        """Update a record, or add it if it does not exist."""
        async with self._database.begin() as session:
            await session.merge(record)

    async def get(self, model: type[Record], key: str) -> Record | None:
        """Return the record with this primary key."""
        if not key.isprintable():  # PostgreSQL refuses NUL, drivers refuse lone surrogates
            return None
        async with self._database.session() as session:
            return await session.get(model, key)

    async def tenant(self, tenant_id: str) -> Tenant | None:
        return await self.get(Tenant, tenant_id)

    async def tenants(self) -> list[Tenant]:
        """Return all tenants by ID."""
        return await self._database.scalars(select(Tenant).order_by(Tenant.id))

    async def tenants_to_retire(self, now: datetime) -> list[Tenant]:
        """Return the tenants with rotated keys whose grace period has ended."""
        return await self._database.scalars(select(Tenant).where(Tenant.retire_at <= now).order_by(Tenant.id))

    async def tenants_to_renew(self, now: datetime) -> list[Tenant]:
        """Return the active tenants whose next period has begun."""
        is_active = (Tenant.status == "active") & Tenant.onboarded
        query = select(Tenant).where(Tenant.renews_at <= now, is_active)
        return await self._database.scalars(query.order_by(Tenant.renews_at))

    async def keys_that_expire(self, before: datetime, limit: int) -> list[Tenant]:
        """Return open tenants whose Cycles key expires before a time, earliest first."""
        expiry = Tenant.cycles_key_expires_at
        query = select(Tenant).where(expiry < before, Tenant.status != "closed")
        return await self._database.scalars(query.order_by(expiry).limit(limit))

    async def usage(self, tenant_id: str) -> list[tuple[str, str | None, int, int, int]]:
        """Return (outcome, scope, calls, held, used) of a tenant's recorded calls, in microcents."""
        sums = (func.count(), func.sum(Call.hold), func.sum(Call.cost + Call.uncharged))
        query = select(Call.outcome, Call.scope, *sums).where(Call.tenant == tenant_id)
        rows = await self._database.rows(query.group_by(Call.outcome, Call.scope))
        return [(outcome, scope, calls, int(held), int(used)) for outcome, scope, calls, held, used in rows]

    async def update_tenant(
        self, tenant_id: str, given: Mapping[str, Any] | None = None, new_key: ApiKey | None = None, **changes: Any
    ) -> bool:
        """Set columns and add an API key. Return False, changing nothing, if a `given` column has another value."""
        is_given = (getattr(Tenant, name) == value for name, value in (given or {}).items())
        change = update(Tenant).where(Tenant.id == tenant_id, *is_given).values(**changes, version=Tenant.version + 1)
        async with self._database.begin() as session:
            is_changed = await session.scalar(change.returning(Tenant.id)) is not None
            if is_changed and new_key:
                session.add(new_key)
        return is_changed

    async def api_keys(self, tenant_id: str) -> list[ApiKey]:
        """Return a tenant's keys, oldest first, revoked ones included."""
        query = select(ApiKey).where(ApiKey.tenant_id == tenant_id)
        return await self._database.scalars(query.order_by(ApiKey.created_at))

    async def find_api_key(self, digest: str) -> ApiKey | None:
        """Return the live key with this SHA-256, with its tenant."""
        return await self._database.scalar(select(ApiKey).where(ApiKey.digest == digest, ApiKey.revoked_at.is_(None)))

    async def touch_api_key(self, key_id: str, now: datetime) -> None:
        """Record that a key was used."""
        await self._database.write(update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=now))

    async def revoke_api_key(self, key: ApiKey, now: datetime) -> None:
        changed = update(Tenant).where(Tenant.id == key.tenant_id).values(version=Tenant.version + 1)
        await self._database.write(update(ApiKey).where(ApiKey.id == key.id).values(revoked_at=now), changed)

    async def drop_adjustment(self, reference: str) -> None:
        """Delete an adjustment that is not done."""
        not_done = (Adjustment.reference == reference) & Adjustment.done_at.is_(None)
        await self._database.write(delete(Adjustment).where(not_done))

    async def add_alerts(self, alerts: Sequence[Alert]) -> None:
        """Store alerts. Those whose ID exists stay as they are."""
        await self._database.insert_many(self._database.insert(Alert).on_conflict_do_nothing(), alerts)

    async def claim_alerts(self, now: datetime, until: datetime) -> list[Alert]:
        """Return alerts to deliver, and keep others from them until a time. Delete those delivered long ago."""
        due = Alert.delivered_at.is_(None) & (Alert.next_try_at <= now)
        first = select(Alert.id).where(due).order_by(Alert.created_at).limit(ALERTS_AT_ONCE)
        claim = update(Alert).where(due, Alert.id.in_(first)).values(next_try_at=until).returning(Alert)
        async with self._database.begin() as session:
            await session.execute(delete(Alert).where(Alert.delivered_at < now - ALERTS_KEPT_FOR))
            return [*await session.scalars(claim)]

    async def last_success(self) -> datetime | None:
        """Return when all steps of housekeeping last succeeded."""
        return await self._database.scalar(select(Success.at))

    async def add_sign_in(self, record: SignIn) -> None:
        """Store a session or link. Deletes expired ones."""
        async with self._database.begin() as session:
            await session.execute(delete(SignIn).where(SignIn.expires_at < datetime.now(UTC)))
            session.add(record)

    async def use_link(self, link: str, expires_at: datetime) -> bool:
        """Make a link a session until `expires_at`. Return False if it is unknown, used or expired."""
        unused = (SignIn.id == link) & ~SignIn.used & (SignIn.expires_at > datetime.now(UTC))
        return await self._database.write(update(SignIn).where(unused).values(used=True, expires_at=expires_at)) == 1

    async def sign_in(self, session_id: str) -> SignIn | None:
        """Return a session, with its tenant, unless it has ended."""
        live = (SignIn.id == session_id) & SignIn.used & (SignIn.expires_at > datetime.now(UTC))
        return await self._database.scalar(select(SignIn).where(live))

    async def end_sessions(self, **owner: str) -> None:
        """Delete the sessions with this `id`, `tenant_id` or `operator`, and links."""
        await self._database.write(delete(SignIn).filter_by(**owner))

    async def save_operator(self, name: str, password_hash: str) -> bool:
        """Add an operator, or replace the password, which ends their sessions. Return whether it was added."""
        is_new = await self.get(Operator, name) is None
        await self.save(Operator(name, password_hash))
        await self.end_sessions(operator=name)
        return is_new

    async def remove_operator(self, name: str) -> None:
        """Delete an operator with their sessions."""
        await self._database.write(delete(SignIn).filter_by(operator=name), delete(Operator).filter_by(name=name))

    async def operators(self) -> list[str]:
        """Return the names of all operators."""
        return [operator.name for operator in await self._database.scalars(select(Operator).order_by(Operator.name))]
