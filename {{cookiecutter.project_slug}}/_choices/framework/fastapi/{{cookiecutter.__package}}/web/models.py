"""Table of answers to requests with an idempotency key."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, MappedAsDataclass, mapped_column

from ..core.database import Base


class KeptAnswer(MappedAsDataclass, Base, kw_only=True):
    """The answer to a request with an idempotency key.

    `id` is a hash of tenant and key, `fingerprint` one of the request. `answer` is encrypted, with the settlements, and
    empty until a call is charged. After `lease_until` another process may complete the request; None: it is complete.
    `owner` is random, for each request that runs.
    """

    __tablename__ = "kept_answers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    owner: Mapped[str] = mapped_column(String(32), index=True)
    answer: Mapped[str] = mapped_column(Text, default="")
    lease_until: Mapped[datetime | None] = mapped_column(index=True)
    expires_at: Mapped[datetime] = mapped_column(index=True)
