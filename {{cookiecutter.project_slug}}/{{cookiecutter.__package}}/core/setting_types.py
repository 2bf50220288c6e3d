"""The kinds of settings that are more than a word or a number, and what makes a secret or an address fit to use."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode


def _split(value: object) -> object:
    return [part for item in value.split(",") if (part := item.strip())] if isinstance(value, str) else value


Names = Annotated[list[str], NoDecode, BeforeValidator(_split)]
Secrets = Annotated[list[SecretStr], NoDecode, BeforeValidator(_split)]
"""Newest first, so that a secret can be rotated: the first one signs, all are accepted."""

Usd = Annotated[Decimal, Field(ge=0)]
UsdPair = Annotated[tuple[Usd, Usd], NoDecode, BeforeValidator(_split)]

SHORTEST_SECRET = 32


def weakness(secret: SecretStr) -> str | None:
    """Why a secret will not do, to be read after its name; None if it will."""
    value = secret.get_secret_value()
    if len(value) < SHORTEST_SECRET:
        return f"is too short: {SHORTEST_SECRET} characters or more"
    if len(set(value)) < 10:
        return "is too simple: make it at random"
    return None


def secret_faults(name: str, secrets: Sequence[SecretStr]) -> list[str]:
    """What is wrong with a list that needs one secret at least, a line each."""
    if not secrets:
        return [f"{name} is missing: set {SHORTEST_SECRET} random characters or more"]
    return [f"{name} {fault}" for secret in secrets if (fault := weakness(secret))]


def is_address(url: str) -> bool:
    """Whether a server can be asked at `url`: of http or https, with a host, and if it names a port, a valid one."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # no port, or no host
        return False
