"""Tables of guarded calls and balances."""

import secrets
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import BigInteger, Index, String, Text
from sqlalchemy.orm import Mapped, MappedAsDataclass, mapped_column

from ..core.database import Base


class Call(MappedAsDataclass, Base, kw_only=True):
    """A guarded call; amounts in microcents.

    `outcome` is `charged`, `released`, `unguarded` (served while Cycles was unreachable), `observed` (served
    although the ledger `scope` would have refused it) or the code of the problem that refused it. `uncharged` is
    the spend that no ledger took. `remaining` is that of the tenant's widest ledger after the call, if known.
    """

    __tablename__ = "calls"

    id: Mapped[str] = mapped_column(String(64), primary_key=True, default_factory=partial(secrets.token_hex, 16))
    at: Mapped[datetime] = mapped_column(default_factory=partial(datetime.now, UTC))
    tenant: Mapped[str] = mapped_column(String(64))
    end_user: Mapped[str | None] = mapped_column(default=None)
    route: Mapped[str]
    model: Mapped[str] = mapped_column(default="")
    input_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    output_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    hold: Mapped[int] = mapped_column(BigInteger, default=0)
    cost: Mapped[int] = mapped_column(BigInteger, default=0)
    uncharged: Mapped[int] = mapped_column(BigInteger, default=0)
    outcome: Mapped[str] = mapped_column(String(64))
    scope: Mapped[str | None] = mapped_column(Text, default=None)
    reservation_id: Mapped[str | None] = mapped_column(default=None)
    request_id: Mapped[str] = mapped_column(default="")
    duration_ms: Mapped[int] = mapped_column(default=0)
    remaining: Mapped[int | None] = mapped_column(BigInteger, default=None)

    __table_args__ = (
        # all that sums over many calls read of one
        Index("ix_calls_tenant_at", "tenant", "at", "cost", "outcome", "model"),
        Index("ix_calls_at", "at", "tenant", "model", "cost", "outcome", "uncharged"),
        Index("ix_calls_request_id_tenant_at", "request_id", "tenant", "at"),
    )


SERVED = ("charged", "released", "unguarded", "observed")
"""Outcomes of calls that were not refused."""


class Balance(MappedAsDataclass, Base, kw_only=True):
    """The widest ledger of a tenant as Cycles returned it to a request sent at `at`; amounts in microcents.

    `reported` is the highest threshold that was reported, in per cent.
    """

    __tablename__ = "balances"

    # no foreign key: Cycles may return tenants that are not in this registry
    tenant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime]
    allocated: Mapped[int] = mapped_column(BigInteger)
    spent: Mapped[int] = mapped_column(BigInteger)
    reserved: Mapped[int] = mapped_column(BigInteger)
    remaining: Mapped[int] = mapped_column(BigInteger)
    debt: Mapped[int] = mapped_column(BigInteger)
    overdraft_limit: Mapped[int] = mapped_column(BigInteger)
    is_over_limit: Mapped[bool]
    reported: Mapped[int] = mapped_column(BigInteger, default=0)


class Alert(MappedAsDataclass, Base, kw_only=True):
    """Something that people should know. Its ID says what happened, so that it is stored once.

    `tenant_id` is the tenant whose addresses get it too. `delivered_to` has digests of the addresses that accepted it.
    """

    __tablename__ = "alerts"

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[str | None] = mapped_column(String(64), default=None)
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default_factory=partial(datetime.now, UTC))
    next_try_at: Mapped[datetime] = mapped_column(index=True, default_factory=partial(datetime.now, UTC))
    delivered_to: Mapped[str] = mapped_column(Text, default="")
    delivered_at: Mapped[datetime | None] = mapped_column(index=True, default=None)


class Success(MappedAsDataclass, Base):
    """When all steps of housekeeping last succeeded: one row."""

    __tablename__ = "housekeeping"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
