"""Types and checks shared by the settings classes."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated

from pydantic import BeforeValidator, HttpUrl, SecretStr
from pydantic_settings import NoDecode

MIN_SECRET_LENGTH = 32


def _split(value: object, separator: str = ",") -> object:
    return [part for item in value.split(separator) if (part := item.strip())] if isinstance(value, str) else value


Names = Annotated[list[str], NoDecode, BeforeValidator(_split)]
_Chain = Annotated[list[str], BeforeValidator(partial(_split, separator=">"))]
Chains = Annotated[list[_Chain], NoDecode, BeforeValidator(_split)]
Secrets = Annotated[list[SecretStr], NoDecode, BeforeValidator(_split)]
"""Newest first: the first one signs, all are accepted, so that a secret can be rotated."""


def secret_faults(name: str, secrets: Sequence[SecretStr]) -> list[str]:
    """Return the faults of a setting that needs at least one secret, one line each."""
    if not secrets:
        return [f"{name} is missing: set at least {MIN_SECRET_LENGTH} random characters"]
    values = [secret.get_secret_value() for secret in secrets]
    if any(len(value) < MIN_SECRET_LENGTH for value in values):
        return [f"{name} is too short: use at least {MIN_SECRET_LENGTH} characters"]
    if any(len(set(value)) < 10 for value in values):
        return [f"{name} is too simple: use random characters"]
    return []


def is_http_url(url: str) -> bool:
    """Return whether `url` is a valid http or https URL."""
    try:
        HttpUrl(url)
    except ValueError:
        return False
    return True
