"""How callers prove themselves in development and in tests: by tokens that are signed here, as an issuer would."""

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
    """The settings that a new installation needs for it. The app does not read DEV_JWT_PRIVATE_KEY: it is ours."""
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
    """What a caller of `tenant` sends, for LIFE from now. Nothing where .env names another issuer than this one."""
    if not environment.get("DEV_JWT_PRIVATE_KEY"):
        return {}
    token = jwt.encode(claims(tenant, environment), private_key(environment), algorithm="RS256")
    return {"Authorization": f"Bearer {token}"}


def claims(tenant: str, environment: Environment) -> dict[str, Any]:
    """What a good token says of a caller of `tenant`."""
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
    """What signs."""
    return _read((environment["DEV_JWT_PRIVATE_KEY"] or "").replace("\\n", "\n"))


@cache
def _read(pem: str) -> RSAPrivateKey:
    """Once: a key is checked when it is read, which takes ten times as long as to sign."""
    return cast("RSAPrivateKey", RSAAlgorithm(RSAAlgorithm.SHA256).prepare_key(pem))


def _one_line(pem: bytes) -> str:
    return pem.decode().strip().replace("\n", "\\n")
