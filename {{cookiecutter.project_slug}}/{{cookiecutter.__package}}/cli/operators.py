"""Operators: the people who run this service."""

import re
import secrets
import sys

from ..core.problems import Problem
from ..tenants.registry import Registry
from ..tenants.service import Output
from ..web.passwords import hash_password

MIN_PASSWORD_LENGTH = 8

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII)


async def add_operator(
    registry: Registry, operator: str, *, password_stdin: bool = False, replace: bool = False
) -> Output:
    """Add an operator. Generates a password unless it is given on stdin."""
    if not _NAME.fullmatch(operator):
        raise Problem("invalid_name", "An operator's name is 1 to 64 of A-Z a-z 0-9 . _ @ + -")
    if not replace and operator in await registry.operators():
        raise Problem("operator_exists", f"Operator {operator} exists. Use --replace to replace the password.")
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else secrets.token_urlsafe(18)
    if len(password) < MIN_PASSWORD_LENGTH or not password.isprintable():
        raise Problem("weak_password", f"A password needs at least {MIN_PASSWORD_LENGTH} characters, all printable.")
    created = await registry.save_operator(operator, hash_password(password))
    note = "" if created else f"{operator} existed: the password is replaced"
    return {"operator": operator, "created": created, "password": None if password_stdin else password, "note": note}


async def list_operators(registry: Registry) -> Output:
    """List the operators."""
    return {"operators": [{"operator": name} for name in await registry.operators()]}


async def remove_operator(registry: Registry, operator: str) -> Output:
    """Remove an operator, which ends their sessions. What they did stays in the audit log."""
    if operator not in await registry.operators():
        raise Problem("unknown_operator", f"There is no operator {operator!r}. See `operators list`.")
    await registry.remove_operator(operator)
    return {"operator": operator, "note": "removed and signed out"}
