"""Types and checks shared by the settings classes."""

import re
from collections.abc import Sequence
from functools import partial
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, HttpUrl, SecretStr
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

MIN_SECRET_LENGTH = 32


def _split(value: object, separator: str = ",") -> object:
    return [part for item in value.split(separator) if (part := item.strip())] if isinstance(value, str) else value


def _matching(pattern: str, words: str) -> AfterValidator:
    """Refuse a text that does not match the whole pattern. `words` say what is expected."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise PydanticCustomError("setting", "must be {words}", {"words": words})
        return text

    return AfterValidator(check)


Names = Annotated[list[str], NoDecode, BeforeValidator(_split)]
_Host = Annotated[
    str, _matching(r"\*|\w[\w.-]*|\[[\dA-Fa-f:.]+\]", "a host name or address, without scheme, port or leading dot")
]
Hosts = Annotated[list[_Host], NoDecode, BeforeValidator(_split), Field(min_length=1)]
_Origin = Annotated[str, _matching(r"\*|[a-z-]+://[^/A-Z]+", "an origin like https://app.example.com, without a path")]
Origins = Annotated[list[_Origin], NoDecode, BeforeValidator(_split)]
Url = Annotated[str, AfterValidator(lambda url: url and HttpUrl(url) and url)]
DatabaseUrl = Annotated[
    str,
    _matching(r"sqlite:///.+|postgresql://[^#\s]+", "sqlite:////absolute/path or postgresql://user:password@host/name"),
]
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
