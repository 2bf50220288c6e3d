"""Operators' passwords (argon2)."""

from anyio.to_thread import run_sync
from pwdlib import PasswordHash

from ..tenants.models import Operator
from ..tenants.registry import Registry
from .viewer import HASHES

_PASSWORDS = PasswordHash.recommended()
hash_password = _PASSWORDS.hash


async def check_password(registry: Registry, name: str, password: str) -> Operator | None:
    """Return the operator with this password. An unknown name takes as long as a wrong password."""
    operator = await registry.get(Operator, name)
    if operator is None:
        await run_sync(_PASSWORDS.hash, password, limiter=HASHES)
        return None
    is_right = await run_sync(_PASSWORDS.verify, password, operator.password_hash, limiter=HASHES)
    return operator if is_right else None
