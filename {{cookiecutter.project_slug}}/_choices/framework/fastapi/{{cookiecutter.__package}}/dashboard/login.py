"""Operators sign in with name and password; from then on their session names them. No session pays for a call."""

import hmac
import secrets
import time

from fastapi import Request
from markupsafe import Markup

from ..dependencies import services_of
from ..passwords import check_password
from ..problems import Problem
from . import attempts

SESSION_LIFE_S = 12 * 3600


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
    address = request.client.host if request.client else ""
    attempts.begin(name, address)
    if not await check_password(services_of(request).registry, name, password):
        raise Problem("unauthenticated", "The name or the password is wrong.")
    attempts.succeeded(name, address)
    request.session.clear()
    request.session.update(operator=name, until=int(time.time()) + SESSION_LIFE_S)


def csrf_field(request: Request) -> Markup:
    """The hidden field with the session's token, which every form sends back."""
    token: str = request.session.get("csrf") or secrets.token_urlsafe(32)
    request.session["csrf"] = token
    return Markup('<input type="hidden" name="csrf" value="{}">').format(token)


def check_csrf(request: Request, token: str) -> None:
    """Raises Problem forbidden unless `token` is the session's."""
    expected = request.session.get("csrf", "")
    if not expected or not hmac.compare_digest(expected.encode(), token.encode()):
        raise Problem("forbidden")
