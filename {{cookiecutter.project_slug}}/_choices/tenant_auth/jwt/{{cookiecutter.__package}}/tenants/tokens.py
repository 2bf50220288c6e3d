"""The callers' tokens (JWT, RFC 7519, verified as RFC 8725 asks): what one proves."""

from contextlib import suppress
from typing import Any

import jwt

from ..core.identity_settings import IdentitySettings
from ..core.problems import Problem
from .jwks import Jwks
from .records import Caller

LONGEST_TOKEN = 8192
LEEWAY_S = 5
"""How far the issuer's clock may be from ours."""


class Tokens:
    """Verifies tokens by the issuer's public keys: from `settings.jwt_jwks_url`, or those of the settings."""

    def __init__(self, settings: IdentitySettings) -> None:
        self._settings = settings
        self._jwks: Jwks | None = None
        algorithm = jwt.get_algorithm_by_name(settings.jwt_algorithms[0])
        self._keys: list[Any] = [algorithm.prepare_key(pem) for pem in settings.jwt_public_key]
        if settings.jwt_jwks_url:
            self._jwks = Jwks(settings.jwt_jwks_url, settings.jwt_algorithms)

    async def caller(self, token: str) -> Caller:
        """The tenant that the issuer vouches for. Whether we know the tenant is not asked here.

        Raises Problem: unauthenticated, or identity_unavailable while the issuer's keys have never been read.
        """
        if len(token) > LONGEST_TOKEN:
            raise Problem("unauthenticated")
        try:
            claims = await self._claims(token)
        except jwt.PyJWTError:
            raise Problem("unauthenticated") from None
        tenant = claims.get(self._settings.jwt_tenant_claim)
        if not isinstance(tenant, str):
            raise Problem("unauthenticated")
        return Caller(tenant)

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
            options={"require": ["exp", "nbf", "iss", "aud"], "enforce_minimum_key_length": True},
        )
