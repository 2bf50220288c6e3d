"""Verification of callers' tokens (JWT, RFC 7519, RFC 8725)."""

from contextlib import suppress
from typing import Any

import jwt

from ..core.identity_settings import IdentitySettings
from ..core.problems import Problem
from .jwks import Jwks

MAX_TOKEN_LENGTH = 8192
LEEWAY_S = 5
"""Tolerated difference between the issuer's clock and ours."""


class Tokens:
    """Verifies tokens with the issuer's public keys, from `jwt_jwks_url` or from the settings."""

    def __init__(self, settings: IdentitySettings) -> None:
        self._settings = settings
        self._jwks = Jwks(settings.jwt_jwks_url) if settings.jwt_jwks_url else None
        algorithm = jwt.get_algorithm_by_name(settings.jwt_algorithms[0])
        self._keys: list[Any] = [algorithm.prepare_key(pem) for pem in settings.jwt_public_key]

    async def tenant(self, token: str) -> str:
        """Return the tenant that a token names. It may not exist here.

        Raise Problem: unauthenticated, or identity_unavailable while the issuer's keys were never read.
        """
        if len(token) > MAX_TOKEN_LENGTH:
            raise Problem("unauthenticated")
        try:
            claims = await self._claims(token)
        except (jwt.PyJWTError, TypeError):  # TypeError: a key of another kind than the token's algorithm
            raise Problem("unauthenticated") from None
        tenant = claims.get(self._settings.jwt_tenant_claim)
        if not isinstance(tenant, str):
            raise Problem("unauthenticated")
        return tenant

    async def _claims(self, token: str) -> dict[str, Any]:
        if self._jwks is not None:
            header = jwt.get_unverified_header(token)
            return self._verified(token, await self._jwks.find(header.get("kid"), header.get("alg")))
        *newer, oldest = self._keys
        for key in newer:
            with suppress(jwt.InvalidSignatureError):
                return self._verified(token, key)
        return self._verified(token, oldest)

    def _verified(self, token: str, key: Any) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=self._settings.jwt_algorithms,
            audience=self._settings.jwt_audience,
            issuer=self._settings.jwt_issuer,
            leeway=LEEWAY_S,
            options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
        )
