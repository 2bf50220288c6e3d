"""The issuer's public keys (JWK Set, RFC 7517), read from its address and kept while it does not answer."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
import jwt
import structlog

from ..core.problems import Problem

log = structlog.get_logger(__name__)

TIMEOUT = aiohttp.ClientTimeout(total=3)
LIFE_S = 600.0
"""After this the keys are read again, so that one that the issuer has withdrawn is refused in the end."""
REFRESH_EVERY_S = 60.0
"""Anybody can send unknown key IDs: they make us ask the issuer no oftener than this."""
RETRY_EVERY_S = 5.0
"""The same while no key is known, and so nobody can be served."""


class Jwks:
    """The keys of one issuer by `kid`, each for those of `algorithms` that it is made for.

    `clock` tells seconds that only grow.
    """

    def __init__(self, url: str, algorithms: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._algorithms = algorithms
        self._clock = clock
        self._keys: dict[tuple[str, str], jwt.PyJWK] = {}
        self._asked_at = -math.inf
        self._asking: asyncio.Task[None] | None = None

    async def find(self, kid: Any, algorithm: Any) -> jwt.PyJWK:
        """The key that a token's header names; the issuer is asked for one that is not known, or known for long.

        Raises jwt.PyJWTError when there is none, Problem identity_unavailable while none at all is known.
        """
        if not isinstance(kid, str) or algorithm not in self._algorithms:
            raise jwt.InvalidTokenError("no key ID, or another algorithm")
        if (kid, algorithm) not in self._keys or self._age() >= LIFE_S:
            await self._refresh()
        if not self._keys:
            raise Problem("identity_unavailable")
        if (kid, algorithm) not in self._keys:
            raise jwt.InvalidTokenError("unknown key ID")
        return self._keys[kid, algorithm]

    async def _refresh(self) -> None:
        """Ask, unless that was done lately: once for all who wait; shielded, for one of them may leave."""
        if self._asking is None:
            if self._age() < (REFRESH_EVERY_S if self._keys else RETRY_EVERY_S):
                return
            self._asked_at = self._clock()
            self._asking = asyncio.create_task(self._ask())
            self._asking.add_done_callback(self._asked)
        await asyncio.shield(self._asking)

    def _age(self) -> float:
        return self._clock() - self._asked_at

    def _asked(self, _: asyncio.Task[None]) -> None:
        self._asking = None

    async def _ask(self) -> None:
        try:
            async with aiohttp.ClientSession(timeout=TIMEOUT) as session, session.get(self._url) as answer:
                answer.raise_for_status()
                keys = usable_keys(await answer.json(content_type=None), self._algorithms)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            log.warning("the issuer's keys cannot be read", url=self._url, error=repr(error), kept=len(self._keys))
            return
        self._keys = keys


def usable_keys(document: Any, algorithms: Sequence[str]) -> dict[tuple[str, str], jwt.PyJWK]:
    """The public signing keys of a JWK Set by ID and algorithm; others are passed over. ValueError if none is left."""
    listed = document.get("keys") if isinstance(document, dict) else None
    keys = {}
    for data in listed if isinstance(listed, list) else ():
        if not isinstance(data, dict) or not isinstance(data.get("kid"), str):
            continue
        if data.get("use", "sig") != "sig" or "d" in data:  # not for signatures, or a private key
            continue
        for algorithm in algorithms:
            try:
                if data.get("alg", algorithm) == algorithm:
                    keys[data["kid"], algorithm] = jwt.PyJWK(data, algorithm)
            except jwt.PyJWTError:
                continue
    if not keys:
        raise ValueError("no key in it that JWT_ALGORITHMS can use")
    return keys
