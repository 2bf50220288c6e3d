"""What `doctor` finds."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

EXPIRES_SOON = timedelta(days=30)
"""A Cycles key that has no longer than this to live is worth a warning."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line. A fault keeps something from working; a warning will, or may."""

    level: Literal["ok", "warning", "fault"]
    check: str
    message: str
    remedy: str = ""


def about_expiry(check: str, key: str, expires_at: datetime | None, remedy: str) -> list[Finding]:
    """A warning, or when it is too late a fault, for a Cycles key that expires soon. `key` is what to call it."""
    now = datetime.now(UTC)
    if expires_at is None or expires_at >= now + EXPIRES_SOON:
        return []
    message = f"{key} expires at {expires_at:%Y-%m-%d %H:%M} UTC"
    return [Finding("fault" if expires_at < now else "warning", check, message, remedy)]
