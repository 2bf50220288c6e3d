"""Operators sign in with name and password, tenants by an API key or a link; from then on their session names them."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict

from fastapi import Request
from markupsafe import Markup

from ..core.config import SESSION_LIFE_S
from ..core.problems import Problem
from .dependencies import services_of
from .passwords import check_password
from .viewer import SignInFirst, Ticket, Viewer, begin, succeeded, viewer_by


async def viewer_of(request: Request) -> Viewer | None:
    """Whom the session names, unless it has run out or was ended, or they are not let in any more."""
    session, services = request.session, services_of(request)
    if session.get("until", 0) < time.time() or await services.registry.has_ended(session.get("id", "")):
        return None
    if ticket := session.get("ticket"):
        return await viewer_by(Ticket(**ticket), services.registry)
    operator = await services.registry.operator(session.get("operator", ""))
    if operator is None or _digest(operator.password_hash) != session.get("password"):
        return None
    return Viewer(operator.name)


async def signed_in(request: Request) -> Viewer:
    """Whom the session names. Raises SignInFirst."""
    viewer = await viewer_of(request)
    if viewer is None:
        raise SignInFirst
    return viewer


async def sign_in(request: Request, name: str, password: str) -> None:
    """Make the session this operator's. Raises Problem: unauthenticated, too_many_attempts."""
    address = address_of(request)
    begin(name, address)
    operator = await check_password(services_of(request).registry, name, password)
    if operator is None:
        raise Problem("unauthenticated", "The name or the password is wrong.")
    succeeded(name, address)
    await _begin_session(request, operator=operator.name, password=_digest(operator.password_hash))


async def sign_in_tenant(request: Request, ticket: Ticket) -> None:
    """Make the session this tenant's."""
    await _begin_session(request, ticket=asdict(ticket))


async def sign_out(request: Request) -> None:
    """End the session, also for whoever has kept its cookie."""
    session = request.session
    if "id" in session:
        await services_of(request).registry.end_session(session["id"], session["until"])
    session.clear()


def address_of(request: Request) -> str:
    return request.client.host if request.client else ""


def csrf_field(request: Request) -> Markup:
    """The hidden field with the session's token, which every form sends back."""
    token: str = request.session.get("csrf") or secrets.token_urlsafe(32)
    request.session["csrf"] = token
    return Markup('<input type="hidden" name="csrf" value="{}">').format(token)


def check_csrf(request: Request, form: Mapping[str, str]) -> None:
    """Raises Problem forbidden unless the form has the session's token."""
    expected = request.session.get("csrf", "")
    if not expected or not hmac.compare_digest(expected.encode(), form.get("csrf", "").encode()):
        raise Problem("forbidden")


async def _begin_session(request: Request, **whose: object) -> None:
    await sign_out(request)
    request.session.update(id=secrets.token_hex(16), until=int(time.time()) + SESSION_LIFE_S, **whose)


def _digest(password_hash: str) -> str:
    """By which a session knows that the password was changed."""
    return hashlib.sha256(password_hash.encode()).hexdigest()
