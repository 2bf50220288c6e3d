"""Table of answers to requests with an idempotency key."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, MappedAsDataclass, mapped_column

from ..core.database import Base


class KeptAnswer(MappedAsDataclass, Base, kw_only=True):
    """The answer to a request with an idempotency key.

    `id` is a hash of tenant and key, `fingerprint` one of the request. `state` is running, charged (in part: it won't
    run again), answered (its settlements may not be in the outbox) or booked. `answer` is encrypted, with the
    settlements. Requests that run extend `lease_until`. `owner` is random, for each request that runs.
    """

    __tablename__ = "kept_answers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(64))
    fingerprint: Mapped[str] = mapped_column(String(64))
    owner: Mapped[str] = mapped_column(String(32), index=True)
    state: Mapped[str] = mapped_column(String(16), index=True, default="running")
    answer: Mapped[str] = mapped_column(Text, default="")
    lease_until: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
