"""Extends a hold for as long as its call runs."""

import asyncio
import time
import uuid

import structlog
from runcycles import AsyncCyclesClient, CyclesResponse

from .client import is_refused

log = structlog.get_logger(__name__)

HOLD_TTL_MS = 60_000
"""How long Cycles keeps a hold that nobody extends, as after a kill."""
EXTEND_S = 25.0
"""Extend a hold that expires in so long, so that there is time to try again."""
RETRY_S = 3.0
EXPIRING_S = 5.0
"""End a call whose hold expires in so long: its commit must still arrive in time."""


class Heartbeat:
    """Extends one hold until `stop`. `granted` is the answer to the reserve.

    A timer, not a task: most calls end before the first extension is due.
    """

    def __init__(self, client: AsyncCyclesClient, granted: CyclesResponse) -> None:
        self._client = client
        self._id = str(granted.get_body_attribute("reservation_id"))
        self._extending: asyncio.Task[None] | None = None
        self._schedule(granted)

    @property
    def has_failed(self) -> bool:
        """Whether the hold can no longer be extended, or is about to expire."""
        return time.monotonic() > self._expires_at - EXPIRING_S

    def stop(self) -> None:
        self._timer.cancel()
        if self._extending:
            self._extending.cancel()

    def _schedule(self, answer: CyclesResponse) -> None:
        remaining_ms = answer.get_body_attribute("remaining_ttl_ms")
        remaining_s = (HOLD_TTL_MS if remaining_ms is None else remaining_ms) / 1000
        self._expires_at = time.monotonic() + remaining_s
        self._timer = asyncio.get_running_loop().call_later(max(remaining_s - EXTEND_S, remaining_s / 2), self._begin)

    def _begin(self) -> None:
        self._extending = asyncio.create_task(self._extend())

    async def _extend(self) -> None:
        """Extend once, with one idempotency key for all tries."""
        body = {"idempotency_key": str(uuid.uuid4()), "extend_by_ms": HOLD_TTL_MS}
        while not self.has_failed:
            answer = await self._client.extend_reservation(self._id, body)
            if answer.is_success:
                self._schedule(answer)
                return
            if refused := is_refused(answer):  # for good
                self._expires_at = 0.0
            log.warning("hold not extended", reservation_id=self._id, status=answer.status, retrying=not refused)
            await asyncio.sleep(RETRY_S)
