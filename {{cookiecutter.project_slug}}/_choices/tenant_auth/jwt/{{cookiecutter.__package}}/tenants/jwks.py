"""The issuer's public keys (JWK Set, RFC 7517), kept while the issuer is down."""

import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiohttp
import jwt

from ..core.cache import SingleFlight
from ..core.logging import log
from ..core.problems import Problem

TIMEOUT = aiohttp.ClientTimeout(total=3)
MAX_BYTES = 1024 * 1024
LIFE_S = 600.0
"""Keys are read again after this, so that a withdrawn one is refused."""
REFRESH_EVERY_S = 60.0
"""Anyone can send unknown key IDs, so they make us ask the issuer no more often than this."""
RETRY_EVERY_S = 5.0
"""The same while no key is known."""


class Jwks:
    """The keys of one issuer by ID. `clock` returns monotonic seconds."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._keys: dict[str, tuple[Any, str | None]] = {}
        self._read_at = -math.inf
        self._reading = SingleFlight[str, None]()

    async def find(self, key_id: Any, algorithm: str | None) -> Any:
        """Return the key that a token's header names, if it is for the algorithm that the header names.

        Raise jwt.PyJWTError if it is unknown, Problem identity_unavailable while no key was ever read.
        """
        known = LIFE_S if key_id in self._keys else REFRESH_EVERY_S
        if self._clock() - self._read_at >= (known if self._keys else RETRY_EVERY_S):
            await self._reading.run("", self._read)
        if not self._keys:
            raise Problem("identity_unavailable")
        key, only = self._keys.get(key_id, (None, None))
        if key is None or only not in (None, algorithm):
            raise jwt.InvalidTokenError("unknown key ID, or a key for another algorithm")
        return key

    async def _read(self) -> None:
        try:
            self._keys = _public_keys(await self._fetch()) or self._keys
        except Exception as error:  # noqa: BLE001  (whatever is wrong, the known keys stay)
            log.warning("issuer's keys not read", error=repr(error), kept=len(self._keys))
        self._read_at = self._clock()

    async def _fetch(self) -> bytes:
        """Return the key set. Follow no redirect: it could lead to plain HTTP."""
        body = b""
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT, trust_env=True) as session,
            session.get(self._url, allow_redirects=False, raise_for_status=True) as response,
        ):
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise ValueError(f"more than {MAX_BYTES} bytes")
        return body


def _public_keys(key_set: bytes) -> dict[str, tuple[Any, str | None]]:
    """Return the public keys for signatures by ID, each with the only algorithm that it is for, if it names one."""
    found = {}
    for each in json.loads(key_set)["keys"]:
        with suppress(jwt.PyJWTError):
            key = jwt.PyJWK.from_dict(each)
            if key.key_id and key.public_key_use in (None, "sig") and hasattr(key.key, "verify"):
                found[key.key_id] = (key.key, each.get("alg"))
    return found
