"""Operators: the people who run this service."""

import re
import secrets
import sys

from ..core.problems import Problem
from ..tenants.registry import Registry
from ..tenants.service import Answer
from ..web.passwords import hash_password

MIN_PASSWORD_LENGTH = 8

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", re.ASCII)


async def add_operator(registry: Registry, operator: str, *, password_stdin: bool = False) -> Answer:
    """Add an operator, or replace the password. Generates one unless it is given on stdin."""
    if not _NAME.fullmatch(operator):
        raise Problem("invalid_name", "An operator's name is 1 to 64 of A-Z a-z 0-9 . _ @ + -")
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else secrets.token_urlsafe(18)
    if len(password) < MIN_PASSWORD_LENGTH:
        raise Problem("weak_password", f"A password needs at least {MIN_PASSWORD_LENGTH} characters.")
    created = await registry.save_operator(operator, hash_password(password))
    note = "" if created else f"{operator} existed: the password is replaced"
    return {"operator": operator, "created": created, "password": None if password_stdin else password, "note": note}
