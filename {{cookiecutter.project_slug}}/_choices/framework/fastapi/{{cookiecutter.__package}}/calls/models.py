"""The table of guarded calls. What the columns mean is told in record.py."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from ..core.database import Base


class CallRow(Base):
    __tablename__ = "calls"
    __table_args__ = (Index("ix_calls_tenant_at", "tenant", "at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    tenant: Mapped[str] = mapped_column(String(64))
    end_user: Mapped[str | None]
    route: Mapped[str]
    model: Mapped[str]
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    hold: Mapped[int] = mapped_column(BigInteger)
    cost: Mapped[int] = mapped_column(BigInteger)
    uncharged: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[str] = mapped_column(String(64))
    reservation_id: Mapped[str | None]
    request_id: Mapped[str]
    duration_ms: Mapped[int]
