"""The people who run this service, and their passwords (argon2)."""

import asyncio
import re
import secrets

from pwdlib import PasswordHash

from .tenants.errors import TenantsError
from .tenants.records import Operator
from .tenants.registry import Registry

PASSWORDS = PasswordHash.recommended()
SHORTEST_PASSWORD = 8

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII)


async def add_operator(registry: Registry, name: str, password: str | None = None) -> tuple[str, bool]:
    """Let an operator in by this password, or a made-up one: the password, and whether the operator is new.

    One that was there before gets the new password. Raises TenantsError.
    """
    if not _NAME.fullmatch(name):
        raise TenantsError("invalid_name", "An operator's name is 1 to 64 of A-Z a-z 0-9 . _ @ + -")
    if password is None:
        password = secrets.token_urlsafe(18)
    if len(password) < SHORTEST_PASSWORD:
        raise TenantsError("weak_password", f"A password has {SHORTEST_PASSWORD} characters or more")
    is_new = await registry.operator(name) is None
    await registry.save_operator(Operator(name=name, password_hash=PASSWORDS.hash(password)))
    return password, is_new


async def check_password(registry: Registry, name: str, password: str) -> bool:
    """Whether this operator has this password. An unknown name takes as long as a wrong password."""
    operator = await registry.operator(name)
    if operator is None:
        await asyncio.to_thread(PASSWORDS.hash, password)
        return False
    return await asyncio.to_thread(PASSWORDS.verify, password, operator.password_hash)
