"""Settings of authentication by JWT."""

from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel, field_validator

from .setting_types import Names, Url

ASYMMETRIC = frozenset(
    "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 ES256K EdDSA".split()  # noqa: SIM905
)
"""Algorithms with public keys. With a shared secret (HS256), verifiers could sign tokens too."""

CHALLENGE = "Bearer"
"""The WWW-Authenticate header of a 401."""
SCHEMES = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "From `var/dev.json`"}}
"""OpenAPI's security schemes."""


class IdentitySettings(BaseModel):
    """The issuer of tokens. Exactly one of `jwt_jwks_url` and `jwt_public_key` (PEMs) must be set."""

    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_algorithms: Names = ["RS256"]
    jwt_jwks_url: Url = ""
    jwt_public_key: Names = []
    jwt_tenant_claim: str = "tenant"

    @field_validator("jwt_public_key")
    @classmethod
    def _lines(cls, pems: list[str]) -> list[str]:
        r"""Accept PEMs on one line, with \n for line breaks."""
        return [pem.replace("\\n", "\n") for pem in pems]

    def identity_faults(self) -> list[str]:
        """Return a line for each fault that forbids serving."""
        faults = []
        if not self.jwt_issuer:
            faults.append("JWT_ISSUER is missing: the `iss` claim of tokens")
        if not self.jwt_audience:
            faults.append("JWT_AUDIENCE is missing: the `aud` claim of tokens")
        if not self.jwt_algorithms or not ASYMMETRIC.issuperset(self.jwt_algorithms):
            faults.append(f"JWT_ALGORITHMS must be of {', '.join(sorted(ASYMMETRIC))}")
        else:
            faults += [f"JWT_PUBLIC_KEY {fault}" for pem in self.jwt_public_key if (fault := self._key_fault(pem))]
        if bool(self.jwt_jwks_url) == bool(self.jwt_public_key):
            faults.append("JWT_JWKS_URL or JWT_PUBLIC_KEY must be set, and not both")
        if self.jwt_jwks_url and not _is_trustworthy(self.jwt_jwks_url):
            faults.append("JWT_JWKS_URL must be an https URL: over http, an attacker could pose as any tenant")
        return faults

    def _key_fault(self, pem: str) -> str | None:
        try:
            key = load_pem_public_key(pem.encode())
            for name in self.jwt_algorithms:
                algorithm = jwt.get_algorithm_by_name(name)
                if weakness := algorithm.check_key_length(algorithm.prepare_key(key)):
                    return f"is too weak: {weakness}"
        except ValueError:
            return "must be a public key in PEM form"
        except (TypeError, jwt.PyJWTError):
            return f"does not fit JWT_ALGORITHMS: {name}"
        return None


def _is_trustworthy(url: str) -> bool:
    """Return whether the URL is https or of this machine."""
    address = urlsplit(url)
    host = address.hostname or ""
    return address.scheme == "https" or host in ("localhost", "::1") or host.startswith("127.")
