"""Extends a hold for as long as its call runs."""

import asyncio
import secrets
import time

from runcycles import AsyncCyclesClient, CyclesResponse

from ..core.logging import log
from .client import is_refused

HOLD_TTL_MS = 60_000
"""How long Cycles keeps a hold that is not extended, for example after a kill."""
EXTEND_S = 25.0
"""Extend a hold this long before it expires, which leaves time to try again."""
RETRY_S = 3.0
EXPIRING_S = 5.0
"""End a call this long before its hold expires, so that its commit still arrives in time."""


class Heartbeat:
    """Extends one hold until `release`. `granted` is the answer to the reserve.

    A timer, not a task: most calls end before the first extension is due.
    """

    def __init__(self, client: AsyncCyclesClient, granted: CyclesResponse) -> None:
        self._client = client
        self._reservation_id = str(granted.get_body_attribute("reservation_id"))
        self._extending: asyncio.Task[None] | None = None
        self._schedule(granted)

    @property
    def has_failed(self) -> bool:
        """Whether the hold can no longer be extended, or is about to expire."""
        return time.monotonic() > self._expires_at - EXPIRING_S

    async def release(self) -> CyclesResponse:
        """Release the hold, or charge what was used (see TenantClient)."""
        self._timer.cancel()
        if self._extending:
            self._extending.cancel()
        return await self._client.release_reservation(self._reservation_id, {"idempotency_key": secrets.token_hex(16)})

    def _schedule(self, answer: CyclesResponse) -> None:
        remaining_ms = answer.get_body_attribute("remaining_ttl_ms")
        remaining_s = (HOLD_TTL_MS if remaining_ms is None else remaining_ms) / 1000
        self._expires_at = time.monotonic() + remaining_s
        self._timer = asyncio.get_running_loop().call_later(max(remaining_s - EXTEND_S, remaining_s / 2), self._begin)

    def _begin(self) -> None:
        self._extending = asyncio.create_task(self._extend())

    async def _extend(self) -> None:
        """Extend once, with one idempotency key for all tries."""
        body = {"idempotency_key": secrets.token_hex(16), "extend_by_ms": HOLD_TTL_MS}
        while not self.has_failed:
            answer = await self._client.extend_reservation(self._reservation_id, body)
            if answer.is_success:
                self._schedule(answer)
                return
            if refused := is_refused(answer):  # for good
                self._expires_at = 0.0
            about = {"reservation_id": self._reservation_id, "status": answer.status}
            log.warning("hold not extended", **about, retrying=not refused)
            await asyncio.sleep(RETRY_S)
