"""Tables of tenants, their API keys and the operators. Amounts are microcents, times are UTC."""

from datetime import UTC, datetime

from sqlalchemy import BigInteger, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, MappedAsDataclass, mapped_column, relationship

from ..core.database import Base


def now() -> datetime:
    return datetime.now(UTC)


class Tenant(MappedAsDataclass, Base, kw_only=True):
    """A customer. `budget` and `overdraft` are those of `tenants add`.

    Unless `every` (month, week, day) is none, the budget renews at `renews_at`, midnight in `time_zone`.
    `period_budget` is the part of the current allocation that is no credit of `fund`. `alert_urls` are encrypted.

    `status` is active, suspended or closed. Calls of an `observed` one are served beyond its budget. `sealed_key`
    is the Cycles key, encrypted. `cycles_key_name` is the name of all its keys at Cycles, random so that keys of
    interrupted runs are found, and none of another registry. All of them but the current one can be revoked at
    `retire_at`. `version` counts changes of the tenant and its API keys.
    """

    __tablename__ = "tenants"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str]
    status: Mapped[str] = mapped_column(String(16), default="active")
    budget: Mapped[int] = mapped_column(BigInteger)
    overdraft: Mapped[int] = mapped_column(BigInteger, default=0)
    period_budget: Mapped[int] = mapped_column(BigInteger, default=0)
    every: Mapped[str] = mapped_column(String(8), default="none")
    time_zone: Mapped[str] = mapped_column(String(64), default="UTC")
    renews_at: Mapped[datetime | None] = mapped_column(index=True, default=None)
    alert_urls: Mapped[str] = mapped_column(Text, default="")
    sealed_key: Mapped[str] = mapped_column(Text, default="")
    cycles_key_id: Mapped[str] = mapped_column(default="")
    cycles_key_name: Mapped[str]
    cycles_key_expires_at: Mapped[datetime | None] = mapped_column(default=None)
    retire_at: Mapped[datetime | None] = mapped_column(index=True, default=None)
    onboarded: Mapped[bool] = mapped_column(default=False)
    observed: Mapped[bool] = mapped_column(default=False)
    version: Mapped[int] = mapped_column(index=True, default=0)
    created_at: Mapped[datetime] = mapped_column(default_factory=now)


class ApiKey(MappedAsDataclass, Base, kw_only=True):
    """A caller's key, stored as its SHA-256. People recognise it by its ID, which is part of it."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"), index=True)
    tenant: Mapped[Tenant] = relationship(init=False, repr=False, compare=False, lazy="joined", innerjoin=True)
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(default_factory=now)
    last_used_at: Mapped[datetime | None] = mapped_column(default=None)
    revoked_at: Mapped[datetime | None] = mapped_column(default=None)


class Adjustment(MappedAsDataclass, Base, kw_only=True):
    """A `fund` with a reference or a `reset` with a period, applied once forever.

    `reference` begins with fund or reset. A renewal keeps unspent credit `keeps_above` the period's budget.
    `idempotency_key` is sent to Cycles, which keeps it for 24 hours.
    """

    __tablename__ = "adjustments"

    reference: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id"))
    amount: Mapped[int] = mapped_column(BigInteger)
    keeps_above: Mapped[int | None] = mapped_column(BigInteger, default=None)
    idempotency_key: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default_factory=now)
    done_at: Mapped[datetime | None] = mapped_column(default=None)


class Operator(MappedAsDataclass, Base):
    __tablename__ = "operators"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    password_hash: Mapped[str]


class SignIn(MappedAsDataclass, Base, kw_only=True):
    """A session of the dashboard, of a tenant or an operator. A tenant's begins as a link, until that is `used`.

    A link's ID is the SHA-256 of its secret.
    """

    __tablename__ = "sign_ins"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant_id: Mapped[str | None] = mapped_column(ForeignKey("tenants.id"), default=None)
    tenant: Mapped[Tenant | None] = relationship(init=False, repr=False, compare=False, lazy="joined")
    operator: Mapped[str | None] = mapped_column(ForeignKey("operators.name"), default=None)
    used: Mapped[bool] = mapped_column(default=False)
    expires_at: Mapped[datetime] = mapped_column(index=True)
