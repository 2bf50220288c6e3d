"""Operators sign in with name and password; from then on their session names them. No session pays for a call."""

import hmac
import secrets
import time

from cachetools import TTLCache
from fastapi import Request

from ..dependencies import services_of
from ..operators import check_password
from ..problems import Problem

SESSION_LIFE_S = 12 * 3600
MOST_FAILURES = 5
FAILURES_COUNT_FOR_S = 300

_attempts: TTLCache[tuple[str, str], int] = TTLCache(10_000, FAILURES_COUNT_FOR_S)
"""Tries of a name from an address that have not succeeded."""


def operator_of(request: Request) -> str | None:
    """The operator that the session names, if it has not run out."""
    session = request.session
    name: str | None = session["operator"] if session.get("until", 0) > time.time() else None
    return name


async def current_operator(request: Request) -> str | None:
    """The operator that the session names, unless the registry knows that one no longer."""
    name = operator_of(request)
    if name is None or await services_of(request).registry.operator(name) is None:
        return None
    return name


async def sign_in(request: Request, name: str, password: str) -> None:
    """Make the session this operator's. Raises Problem: unauthenticated, too_many_attempts."""
    attempt = (name, request.client.host if request.client else "")
    if _attempts.get(attempt, 0) >= MOST_FAILURES:
        raise Problem("too_many_attempts", "Try again in a few minutes.", FAILURES_COUNT_FOR_S)
    _attempts[attempt] = _attempts.get(attempt, 0) + 1  # before the check: tries at the same time count too
    if not await check_password(services_of(request).registry, name, password):
        raise Problem("unauthenticated", "The name or the password is wrong.")
    _attempts.pop(attempt, None)
    request.session.clear()
    request.session.update(operator=name, until=int(time.time()) + SESSION_LIFE_S)


def csrf_token(request: Request) -> str:
    """The session's token, which every form sends back."""
    token: str = request.session.get("csrf") or secrets.token_urlsafe(32)
    request.session["csrf"] = token
    return token


def check_csrf(request: Request, token: str) -> None:
    """Raises Problem forbidden unless `token` is the session's."""
    expected = request.session.get("csrf", "")
    if not expected or not hmac.compare_digest(expected.encode(), token.encode()):
        raise Problem("forbidden")


def local_path(path: str) -> str:
    """Where to go after signing in: `path` if it is a page of the dashboard, never another site."""
    return path if path.startswith("/dashboard/") else "/dashboard/"
