"""Operators' passwords (argon2)."""

import asyncio

from pwdlib import PasswordHash

from ..tenants.models import Operator
from ..tenants.registry import Registry

_PASSWORDS = PasswordHash.recommended()
hash_password = _PASSWORDS.hash


async def check_password(registry: Registry, name: str, password: str) -> Operator | None:
    """Return the operator with this password. An unknown name takes as long as a wrong password."""
    operator = await registry.operator(name)
    if operator is None:
        await asyncio.to_thread(_PASSWORDS.hash, password)
        return None
    return operator if await asyncio.to_thread(_PASSWORDS.verify, password, operator.password_hash) else None
