"""The issuer's public keys (JWK Set, RFC 7517), kept while the issuer is down."""

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any

import jwt
import structlog

from ..core.cache import SingleFlight
from ..core.problems import Problem

log = structlog.get_logger(__name__)

TIMEOUT_S = 3.0
LIFE_S = 600.0
"""Keys are read again after this, so that a withdrawn one is refused."""
REFRESH_EVERY_S = 60.0
"""Anyone can send unknown key IDs, so they make us ask the issuer no more often than this."""
RETRY_EVERY_S = 5.0
"""The same while no key is known."""


class Jwks:
    """The keys of one issuer by ID. `clock` returns monotonic seconds."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=TIMEOUT_S)
        self._clock = clock
        self._keys: dict[str, Any] = {}
        self._read_at = -math.inf
        self._reading = SingleFlight[str, None]()

    async def find(self, key_id: Any) -> Any:
        """Return the key that a token's header names.

        Raises jwt.PyJWTError if it is unknown, Problem identity_unavailable while no key was ever read.
        """
        known = LIFE_S if key_id in self._keys else REFRESH_EVERY_S
        if self._clock() - self._read_at >= (known if self._keys else RETRY_EVERY_S):
            await self._reading.run("", self._read)
        if not self._keys:
            raise Problem("identity_unavailable")
        if key_id not in self._keys:
            raise jwt.InvalidTokenError("unknown key ID")
        return self._keys[key_id]

    async def _read(self) -> None:
        try:
            keys = await asyncio.to_thread(self._client.get_signing_keys)
        except Exception as error:  # noqa: BLE001  (whatever is wrong, the known keys stay)
            log.warning("issuer's keys not read", error=repr(error), kept=len(self._keys))
        else:
            public = {key.key_id: key.key for key in keys if key.key_id and hasattr(key.key, "verify")}
            self._keys = public or self._keys
        self._read_at = self._clock()
