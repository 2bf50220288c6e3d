"""The caller of a request."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller. The budget of `tenant`, an ID, pays for its calls."""

    tenant: str
