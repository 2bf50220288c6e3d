"""Tables of alerts and of the last success of housekeeping. Times are UTC."""

from datetime import UTC, datetime
from functools import partial

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, MappedAsDataclass, mapped_column

from ..core.database import Base


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
