"""The people who run this service: who may be one, and how they are let in."""

import re
import secrets
from dataclasses import dataclass

from ..core.errors import TenantsError
from ..tenants.records import Operator
from ..tenants.registry import Registry
from ..web.passwords import hash_password

SHORTEST_PASSWORD = 8

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedOperator:
    """`password` is the made-up one, shown once; None if one was given. `note` is for people."""

    operator: str
    created: bool
    password: str | None
    note: str


async def add_operator(registry: Registry, name: str, password: str | None = None) -> AddedOperator:
    """Let an operator in by this password, or a made-up one. One that was there before gets the new password.

    Raises TenantsError.
    """
    if not _NAME.fullmatch(name):
        raise TenantsError("invalid_name", "An operator's name is 1 to 64 of A-Z a-z 0-9 . _ @ + -")
    made_up = secrets.token_urlsafe(18) if password is None else None
    used = made_up or password or ""
    if len(used) < SHORTEST_PASSWORD:
        raise TenantsError("weak_password", f"A password has {SHORTEST_PASSWORD} characters or more")
    created = await registry.operator(name) is None
    await registry.save_operator(Operator(name=name, password_hash=hash_password(used)))
    note = "" if created else f"{name} was there before: the password is replaced"
    return AddedOperator(operator=name, created=created, password=made_up, note=note)
