"""Circuit breaker for Cycles: while it is out of reach, calls fail at once instead of waiting for a timeout."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from .metrics import BREAKER

THRESHOLD = 5
PROBE_S = 1.0


class Breaker:
    """Opens after THRESHOLD failures in a row, then admits one probe at a time, every PROBE_S, until one succeeds.

    Count only failures that hit every tenant: no answer, or Redis down. A tenant's own trouble (its key, its ledger, a
    500 for its request) must not block the others.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._next_probe = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        return self._failures >= THRESHOLD

    @property
    def refuses(self) -> bool:
        """Whether a call made now would be refused. Asking uses up no probe."""
        return self.is_open and (self._probing or time.monotonic() < self._next_probe)

    @contextmanager
    def call(self) -> Iterator[bool]:
        """Tell the body whether its call may be sent. While open, True makes it the probe, until the body ends."""
        if not self.is_open or self.refuses:
            yield not self.is_open
            return
        self._probing = True
        try:
            yield True
        finally:
            self._probing = False

    def failed(self) -> None:
        self._failures += 1
        self._next_probe = time.monotonic() + PROBE_S
        BREAKER.set(int(self.is_open))

    def succeeded(self) -> None:
        if self.is_open:
            BREAKER.set(0)
        self._failures = 0
