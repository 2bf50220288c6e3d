"""The registry of tenants, in the database. Plain records go in and out; see records.py."""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from ..core.database import Base, Database
from .models import AdjustmentRow, ApiKeyRow, EndedSessionRow, OperatorRow, SignInLinkRow, TenantRow, VersionRow
from .records import Adjustment, ApiKey, Operator, Tenant, may_be_name

DATABASE_ERRORS = (SQLAlchemyError, OSError)


@asynccontextmanager
async def open_registry(database_url: str) -> AsyncIterator["Registry"]:
    """The registry over a database of its own: for commands."""
    async with Database(database_url) as database:
        yield Registry(database)


class Registry:
    """Raises DATABASE_ERRORS when the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ready(self) -> None:
        """Raise what keeps the database from answering."""
        await self._database.ready()

    async def is_migrated(self) -> bool:
        return await self._database.is_migrated()

    async def version(self) -> str:
        """Another one after each change of a tenant's record and each key that was revoked."""
        async with self._database.session() as session:
            return await session.scalar(select(VersionRow.version)) or ""

    async def add_tenant(self, tenant: Tenant) -> bool:
        """False when the ID is taken."""
        return await self._add(TenantRow(**asdict(tenant)))

    async def tenant(self, tenant_id: str) -> Tenant | None:
        if not may_be_name(tenant_id):
            return None
        async with self._database.session() as session:
            row = await session.get(TenantRow, tenant_id)
        return Tenant(**row.values()) if row else None

    async def tenants(self) -> list[Tenant]:
        """All of them, by ID."""
        query = select(TenantRow).order_by(TenantRow.id)
        async with self._database.session() as session:
            return [Tenant(**row.values()) for row in await session.scalars(query)]

    async def tenants_to_retire(self, now: datetime) -> list[Tenant]:
        """Those with replaced Cycles keys whose time has come."""
        query = select(TenantRow).where(TenantRow.retire_at <= now).order_by(TenantRow.id)
        async with self._database.session() as session:
            return [Tenant(**row.values()) for row in await session.scalars(query)]

    async def update_tenant(self, tenant_id: str, given: Mapping[str, Any] | None = None, **changes: Any) -> bool:
        """Set members of the tenant's record. False, and nothing is set, unless it still has the `given` ones."""
        return await self._update(tenant_id, given or {}, changes)

    async def finish_onboarding(self, tenant_id: str, first_key: ApiKey | None) -> bool:
        """Onboarded, with its callers' first key. False, and nothing is stored, if it was before."""
        row = ApiKeyRow(**asdict(first_key)) if first_key else None
        return await self._update(tenant_id, {"onboarded": False}, {"onboarded": True}, row)

    async def add_api_key(self, key: ApiKey) -> None:
        async with self._database.begin() as session:
            session.add(ApiKeyRow(**asdict(key)))

    async def api_keys(self, tenant_id: str) -> list[ApiKey]:
        """All keys of a tenant, oldest first, revoked ones too."""
        query = select(ApiKeyRow).where(ApiKeyRow.tenant == tenant_id).order_by(ApiKeyRow.created_at)
        async with self._database.session() as session:
            return [ApiKey(**row.values()) for row in await session.scalars(query)]

    async def revoke_api_key(self, key_id: str, now: datetime) -> None:
        async with self._database.begin() as session:
            await session.execute(update(ApiKeyRow).where(ApiKeyRow.id == key_id).values(revoked_at=now))
            await self._move(session)

    async def find_api_key(self, digest: str) -> tuple[ApiKey, Tenant] | None:
        """The live key with this SHA-256, and whose it is."""
        query = (
            select(ApiKeyRow, TenantRow)
            .join(TenantRow, TenantRow.id == ApiKeyRow.tenant)
            .where(ApiKeyRow.digest == digest, ApiKeyRow.revoked_at.is_(None))
        )
        async with self._database.session() as session:
            found = (await session.execute(query)).first()
        return (ApiKey(**found[0].values()), Tenant(**found[1].values())) if found else None

    async def touch_api_keys(self, used: Mapping[str, datetime]) -> None:
        """Write down when keys (by ID) were last used."""
        async with self._database.begin() as session:
            await session.execute(
                update(ApiKeyRow), [{"id": key_id, "last_used_at": at} for key_id, at in sorted(used.items())]
            )

    async def add_adjustment(self, adjustment: Adjustment) -> bool:
        """False when its reference was used before."""
        return await self._add(AdjustmentRow(**asdict(adjustment)))

    async def adjustment(self, reference: str) -> Adjustment | None:
        async with self._database.session() as session:
            row = await session.get(AdjustmentRow, reference)
        return Adjustment(**row.values()) if row else None

    async def finish_adjustment(self, done: Adjustment) -> None:
        """Keep that it is done, also where another run has dropped it meanwhile."""
        async with self._database.begin() as session:
            await session.merge(AdjustmentRow(**asdict(done)))

    async def drop_adjustment(self, reference: str) -> None:
        """Forget one that is not done."""
        not_done = (AdjustmentRow.reference == reference) & AdjustmentRow.done_at.is_(None)
        async with self._database.begin() as session:
            await session.execute(delete(AdjustmentRow).where(not_done))

    async def keys_that_expire(self, before: datetime, limit: int) -> list[Tenant]:
        """Open tenants whose Cycles key expires before a time, the next first."""
        expiry = TenantRow.cycles_key_expires_at
        query = select(TenantRow).where(expiry < before, TenantRow.status != "closed").order_by(expiry).limit(limit)
        async with self._database.session() as session:
            return [Tenant(**row.values()) for row in await session.scalars(query)]

    async def add_link(self, digest: str, tenant: str, expires_at: datetime, now: datetime) -> None:
        """Keep a link to sign in by; those that have expired go."""
        async with self._database.begin() as session:
            await session.execute(delete(SignInLinkRow).where(SignInLinkRow.expires_at < now))
            session.add(SignInLinkRow(digest=digest, tenant=tenant, expires_at=expires_at))

    async def spend_link(self, digest: str, now: datetime) -> str | None:
        """Whose link it is, told once; None for one that is unknown, spent or expired."""
        spent = delete(SignInLinkRow).where(SignInLinkRow.digest == digest, SignInLinkRow.expires_at > now)
        async with self._database.begin() as session:
            tenant: str | None = await session.scalar(spent.returning(SignInLinkRow.tenant))
        return tenant

    async def save_operator(self, operator: Operator) -> None:
        """Add an operator, or give one that is there another password."""
        async with self._database.begin() as session:
            await session.merge(OperatorRow(**asdict(operator)))

    async def operator(self, name: str) -> Operator | None:
        if not may_be_name(name):
            return None
        async with self._database.session() as session:
            row = await session.get(OperatorRow, name)
        return Operator(**row.values()) if row else None

    async def end_session(self, session_id: str, until: int) -> None:
        """Have a session name nobody any more, which it would do `until` then (seconds since 1970)."""
        async with self._database.begin() as session:
            await session.execute(delete(EndedSessionRow).where(EndedSessionRow.until < int(time.time())))
            await session.merge(EndedSessionRow(id=session_id, until=until))

    async def has_ended(self, session_id: str) -> bool:
        async with self._database.session() as session:
            return await session.get(EndedSessionRow, session_id) is not None

    async def _update(
        self, tenant_id: str, given: Mapping[str, Any], changes: Mapping[str, Any], new: Base | None = None
    ) -> bool:
        still = (getattr(TenantRow, name) == value for name, value in given.items())
        change = update(TenantRow).where(TenantRow.id == tenant_id, *still).values(**changes).returning(TenantRow.id)
        async with self._database.begin() as session:
            changed = await session.scalar(change) is not None
            if changed:
                await self._move(session)
                if new:
                    session.add(new)
        return changed

    async def _move(self, session: AsyncSession) -> None:
        await session.execute(self._database.upsert(VersionRow), [{"id": 1, "version": str(uuid4())}])

    async def _add(self, row: Base) -> bool:
        try:
            async with self._database.begin() as session:
                session.add(row)
        except IntegrityError:
            return False
        return True
