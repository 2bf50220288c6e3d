"""The circuit breaker in front of Cycles: while it is out of reach, nobody waits for a time-out to learn it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .metrics import BREAKER

THRESHOLD = 5
PROBE_S = 1.0


class Breaker:
    """Opens after THRESHOLD failures in a row; then lets one call through every PROBE_S seconds.

    Only what is everybody's failure counts: no answer, or Redis being down. A tenant's own trouble (its
    key, its ledger, a 500 for its request) never blocks another tenant.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._next_probe: float  # set by the first failure
        self._probing = False
        self.recovered = asyncio.Event()
        """Set when Cycles answers again."""

    @property
    def is_open(self) -> bool:
        return self._failures >= THRESHOLD

    @property
    def refuses(self) -> bool:
        """Whether a call made now would be turned away; asking uses up no probe."""
        return self.is_open and (self._probing or time.monotonic() < self._next_probe)

    @contextmanager
    def call(self) -> Iterator[bool]:
        """Whether the call in the body may go out. While open, True makes it the one probe, until the body ends."""
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
        was_open, self._failures = self.is_open, 0
        if was_open:
            BREAKER.set(0)
            self.recovered.set()
