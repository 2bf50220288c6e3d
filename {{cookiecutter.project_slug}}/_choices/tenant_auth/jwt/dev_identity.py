"""Callers in development and tests: tokens signed here in place of an issuer."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import RSAAlgorithm

Environment = Mapping[str, str | None]

LIFE = timedelta(hours=24)


def environment() -> dict[str, str]:
    """Return the settings that a new installation needs. The app does not read DEV_JWT_PRIVATE_KEY."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        "JWT_ISSUER": "urn:dev-issuer",
        "JWT_AUDIENCE": "urn:dev-app",
        "JWT_PUBLIC_KEY": _one_line(public),
        "DEV_JWT_PRIVATE_KEY": _one_line(private),
    }


def headers(tenant: str, _api_key: str | None, environment: Environment, _cli: object) -> dict[str, str]:
    """Return what a caller of `tenant` sends, valid for LIFE. Empty if .env names another issuer."""
    if not environment.get("DEV_JWT_PRIVATE_KEY"):
        return {}
    token = jwt.encode(claims(tenant, environment), private_key(environment), algorithm="RS256")
    return {"Authorization": f"Bearer {token}"}


def claims(tenant: str, environment: Environment) -> dict[str, Any]:
    """Return the claims of a valid token for `tenant`."""
    now = datetime.now(UTC)
    return {
        "iss": environment["JWT_ISSUER"],
        "aud": environment["JWT_AUDIENCE"],
        "sub": "dev",
        "iat": now,
        "nbf": now,
        "exp": now + LIFE,
        environment.get("JWT_TENANT_CLAIM") or "tenant": tenant,
    }


def private_key(environment: Environment) -> RSAPrivateKey:
    """Return the key that signs tokens."""
    return _read((environment["DEV_JWT_PRIVATE_KEY"] or "").replace("\\n", "\n"))


@cache
def _read(pem: str) -> RSAPrivateKey:
    """Parse a key, once: it takes ten times as long as signing."""
    return cast("RSAPrivateKey", RSAAlgorithm(RSAAlgorithm.SHA256).prepare_key(pem))


def _one_line(pem: bytes) -> str:
    return pem.decode().strip().replace("\n", "\\n")
