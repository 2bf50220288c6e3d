"""Kept answers in the database."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from ..core.database import in_database
from .models import KeptAnswer


class AnswerStore:
    """Raises registry.DATABASE_ERRORS if the database fails."""

    @in_database
    def find(self, row_id: str) -> KeptAnswer | None:
        return KeptAnswer.objects.filter(id=row_id).first()

    @in_database
    def update(self, row: KeptAnswer, **changes: Any) -> bool:
        """Return False if another request owns it now."""
        return KeptAnswer.objects.filter(id=row.id, owner=row.owner).update(**changes) == 1

    @in_database
    def delete(self, row: KeptAnswer) -> None:
        """Delete it, unless its owner or state has changed."""
        KeptAnswer.objects.filter(id=row.id, owner=row.owner, state=row.state).delete()

    @in_database
    def extend(self, owners: Collection[str], until: datetime) -> None:
        KeptAnswer.objects.filter(owner__in=owners).update(lease_until=until)

    @in_database
    def unbooked(self, now: datetime) -> list[KeptAnswer]:
        """Return answers whose settlements their process should have written by now."""
        return [*KeptAnswer.objects.filter(state__in=("charged", "answered"), lease_until__lt=now)[:100]]

    @in_database
    def prune(self, now: datetime) -> None:
        """Delete what has expired."""
        KeptAnswer.objects.filter(expires_at__lt=now).delete()
