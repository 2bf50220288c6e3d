"""Tables of guarded calls and balances."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table
from sqlalchemy.orm import Mapped, MappedAsDataclass, mapped_column

from ..core.database import Base, UtcDateTime


@dataclass(slots=True, kw_only=True)
class Call:
    """A guarded call; amounts in microcents. A plain dataclass: a mapped one costs each request 15 us more.

    `outcome` is `charged`, `released`, `unguarded` (served while Cycles was unreachable) or the code of the problem
    that refused it. `uncharged` is the spend that no ledger took. `remaining` and `allocated` are those of the
    tenant's widest ledger after the call, if known.
    """

    id: str = field(default_factory=partial(secrets.token_hex, 16))
    at: datetime = field(default_factory=partial(datetime.now, UTC))
    tenant: str
    end_user: str | None = None
    route: str
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    hold: int = 0
    cost: int = 0
    uncharged: int = 0
    outcome: str
    reservation_id: str | None = None
    request_id: str = ""
    duration_ms: int = 0
    remaining: int | None = None
    allocated: int | None = None


calls = Table(
    "calls",
    Base.metadata,
    Column("id", String(64), primary_key=True),
    Column("at", UtcDateTime, nullable=False, index=True),
    Column("tenant", String(64), nullable=False),
    *(Column(name, String(256), nullable=False) for name in ("route", "model", "request_id")),
    *(Column(name, String(256)) for name in ("end_user", "reservation_id")),
    Column("outcome", String(64), nullable=False),
    *(Column(name, BigInteger, nullable=False) for name in ("input_tokens", "output_tokens")),
    *(Column(name, BigInteger, nullable=False) for name in ("hold", "cost", "uncharged")),
    *(Column(name, BigInteger) for name in ("remaining", "allocated")),
    Column("duration_ms", Integer, nullable=False),
    Index("ix_calls_tenant_at_cost", "tenant", "at", "cost"),
)


SERVED = ("charged", "released", "unguarded")
"""Outcomes of calls that were not refused."""


class Balance(MappedAsDataclass, Base, kw_only=True):
    """The widest ledger of a tenant as Cycles returned it to a request sent at `at`; amounts in microcents.

    `reported` is the spend at the highest threshold that was reported.
    """

    __tablename__ = "balances"

    # no foreign key: Cycles may return tenants that are not in this registry
    tenant_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime]
    scope: Mapped[str]
    allocated: Mapped[int] = mapped_column(BigInteger)
    spent: Mapped[int] = mapped_column(BigInteger)
    reserved: Mapped[int] = mapped_column(BigInteger)
    remaining: Mapped[int] = mapped_column(BigInteger)
    debt: Mapped[int] = mapped_column(BigInteger)
    overdraft_limit: Mapped[int] = mapped_column(BigInteger)
    is_over_limit: Mapped[bool]
    reported: Mapped[int] = mapped_column(BigInteger, default=0)
