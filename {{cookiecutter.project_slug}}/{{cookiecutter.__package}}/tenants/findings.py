"""Findings of `doctor`."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

EXPIRES_SOON = timedelta(days=30)
"""Warn of Cycles keys that expire within this time."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. With a fault something does not work; a warning is a fault to come."""

    level: Literal["ok", "warning", "fault"]
    check: str
    message: str
    remedy: str = ""


def expiry_findings(check: str, key: str, expires_at: datetime | None, remedy: str) -> list[Finding]:
    """Return a finding if a Cycles key expires soon or has expired. `key` is what the message calls it."""
    now = datetime.now(UTC)
    if expires_at is None or expires_at >= now + EXPIRES_SOON:
        return []
    message = f"{key} expires at {expires_at:%Y-%m-%d %H:%M} UTC"
    return [Finding("fault" if expires_at < now else "warning", check, message, remedy)]
