"""The dashboard's tables. What the columns mean is told in records.py."""

from datetime import datetime

from sqlalchemy import BigInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ..core.database import Base


class StandingRow(Base):
    __tablename__ = "standings"

    # no foreign key: Cycles may tell of tenants that this registry does not know
    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime]
    scope: Mapped[str]
    allocated: Mapped[int] = mapped_column(BigInteger)
    spent: Mapped[int] = mapped_column(BigInteger)
    reserved: Mapped[int] = mapped_column(BigInteger)
    remaining: Mapped[int] = mapped_column(BigInteger)
    debt: Mapped[int] = mapped_column(BigInteger)
    overdraft_limit: Mapped[int] = mapped_column(BigInteger)
    is_over_limit: Mapped[bool]
    mark_at: Mapped[int] = mapped_column(BigInteger)
    mark_used: Mapped[int] = mapped_column(BigInteger)
    next_at: Mapped[int] = mapped_column(BigInteger)
    next_used: Mapped[int] = mapped_column(BigInteger)
    alerted: Mapped[int] = mapped_column(BigInteger, server_default="0")
    claimed_at: Mapped[int] = mapped_column(BigInteger, server_default="0")


class HourlyBalanceRow(Base):
    __tablename__ = "hourly_balances"

    tenant: Mapped[str] = mapped_column(String(64), primary_key=True)
    hour: Mapped[int] = mapped_column(primary_key=True, index=True)
    allocated: Mapped[int] = mapped_column(BigInteger)
    remaining: Mapped[int] = mapped_column(BigInteger)


class AuditRow(Base):
    __tablename__ = "audit"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    operator: Mapped[str]
    action: Mapped[str] = mapped_column(String(64))
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    before: Mapped[str] = mapped_column(Text)
    after: Mapped[str | None] = mapped_column(Text)
