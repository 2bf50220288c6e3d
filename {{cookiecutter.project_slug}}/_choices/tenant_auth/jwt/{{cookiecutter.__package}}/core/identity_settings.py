"""The settings of this way of authentication."""

from urllib.parse import urlsplit

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import BaseModel, field_validator

from .setting_types import Names, is_http_url

ASYMMETRIC = frozenset(
    "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 ES256K EdDSA".split()  # noqa: SIM905
)
"""What can be verified by a public key. A shared secret (HS256) would let every verifier sign tokens too."""

CHALLENGE = "Bearer"
"""What a 401 asks for."""
SCHEMES = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
"""What a request shows, in OpenAPI's words."""


class IdentitySettings(BaseModel):
    """Who signs the callers' tokens, how, and for whom. Exactly one of `jwt_jwks_url` and `jwt_public_key` (PEMs)."""

    jwt_issuer: str = ""
    jwt_audience: str = ""
    jwt_algorithms: Names = ["RS256"]
    jwt_jwks_url: str = ""
    jwt_public_key: Names = []
    jwt_tenant_claim: str = "tenant"

    @field_validator("jwt_public_key")
    @classmethod
    def _lines(cls, pems: list[str]) -> list[str]:
        r"""A PEM on one line has \n for its line breaks: not every place for settings takes real ones."""
        return [pem.replace("\\n", "\n") for pem in pems]

    def identity_faults(self) -> list[str]:
        """Why serving must not start, one line for each fault."""
        faults = []
        if not self.jwt_issuer:
            faults.append("JWT_ISSUER is missing: what `iss` of a token must be")
        if not self.jwt_audience:
            faults.append("JWT_AUDIENCE is missing: what `aud` of a token must be, or contain")
        if not self.jwt_algorithms or not ASYMMETRIC.issuperset(self.jwt_algorithms):
            faults.append(f"JWT_ALGORITHMS must be of {', '.join(sorted(ASYMMETRIC))}")
        else:
            faults += [f"JWT_PUBLIC_KEY {fault}" for pem in self.jwt_public_key if (fault := self._key_fault(pem))]
        if bool(self.jwt_jwks_url) == bool(self.jwt_public_key):
            faults.append("JWT_JWKS_URL or JWT_PUBLIC_KEY must be set, and not both")
        if self.jwt_jwks_url and not _is_trustworthy(self.jwt_jwks_url):
            faults.append("JWT_JWKS_URL must be an https address: who changes what it answers can be any tenant")
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
            return f"is of another kind than JWT_ALGORITHMS asks for: {name}"
        return None


def _is_trustworthy(url: str) -> bool:
    """Over https, or from this machine."""
    if not is_http_url(url):
        return False
    address = urlsplit(url)
    host = address.hostname or ""
    return address.scheme == "https" or host in ("localhost", "::1") or host.startswith("127.")
