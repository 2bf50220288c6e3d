"""Time in milliseconds since 1970, which tests move forward instead of sleeping."""

import time
from datetime import UTC, datetime

DAY_MS = 24 * 3600 * 1000


class Clock:
    """The system's clock plus an offset that only grows, so that nothing is ever un-expired."""

    def __init__(self, offset_ms: int = 0) -> None:
        self.offset_ms = offset_ms

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self.offset_ms


def instant(ms: float) -> str:
    """`ms` as the admin plane writes times: RFC 3339, UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
