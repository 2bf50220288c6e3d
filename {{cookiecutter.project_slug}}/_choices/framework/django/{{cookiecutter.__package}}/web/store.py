"""Kept answers in the database."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from ..core.database import in_database
from .models import KeptAnswer


class AnswerStore:
    """Raises registry.DATABASE_ERRORS if the database fails."""

    @in_database
    def update(self, row: KeptAnswer, **changes: Any) -> bool:
        """Return False if another request owns it now."""
        return KeptAnswer.objects.filter(id=row.id, owner=row.owner).update(**changes) == 1

    @in_database
    def delete(self, row: KeptAnswer) -> None:
        """Delete it, unless its owner or answer has changed."""
        KeptAnswer.objects.filter(id=row.id, owner=row.owner, answer=row.answer).delete()

    @in_database
    def tend(self, owners: Collection[str], now: datetime, until: datetime) -> list[KeptAnswer]:
        """Extend leases and delete what has expired. Return answers that their process should have completed by now."""
        KeptAnswer.objects.filter(owner__in=owners).update(lease_until=until)
        KeptAnswer.objects.filter(expires_at__lt=now).delete()
        return [*KeptAnswer.objects.exclude(answer="").filter(lease_until__lt=now)[:100]]
