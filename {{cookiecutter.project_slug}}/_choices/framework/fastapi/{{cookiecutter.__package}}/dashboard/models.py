"""The table of what operators did."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, MappedAsDataclass, mapped_column

from ..core.database import Base


class AuditEntry(MappedAsDataclass, Base, kw_only=True):
    """An action of an operator, or of `cli:` and a user of the system.

    `tenant` is empty if it concerns none, or all. `outcome` is None while it runs, and if it was interrupted.
    """

    __tablename__ = "audit"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    operator: Mapped[str]
    action: Mapped[str] = mapped_column(String(64))
    tenant: Mapped[str] = mapped_column(String(64), index=True)
    outcome: Mapped[str | None] = mapped_column(default=None)
