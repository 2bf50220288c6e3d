"""Time in milliseconds since 1970, which tests move forward instead of sleeping."""

import re
import time
from datetime import UTC, datetime, timedelta

DAY_MS = 24 * 3600 * 1000
EPOCH, MILLISECOND = datetime.fromtimestamp(0, UTC), timedelta(milliseconds=1)
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)")


class Clock:
    """The system's clock plus an offset that only grows, so that nothing is ever un-expired."""

    def __init__(self, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset_ms


def instant(ms: float) -> str:
    """Return `ms` as the admin plane writes times: RFC 3339, UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(text: object) -> int:
    """Parse an RFC 3339 time. Raises ValueError."""
    if not RFC_3339.fullmatch(str(text)):
        raise ValueError("must be an RFC 3339 time with an offset")
    return (datetime.fromisoformat(str(text)) - EPOCH) // MILLISECOND
