"""Sign-in to the dashboard: operators by password, tenants by an API key or a link. The session names them."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping

from fastapi import Request
from markupsafe import Markup

from ..core.config import SESSION_LIFE_S
from ..core.problems import Problem
from .dependencies import services_of
from .edge import address_of as address_of_scope
from .passwords import check_password
from .viewer import SignInFirst, Ticket, Viewer, sign_in_attempt, viewer_by


async def viewer_of(request: Request) -> Viewer | None:
    """Return who is signed in, unless the session was ended or they lost access."""
    session, registry = request.session, services_of(request).registry
    if "id" not in session or await registry.has_ended(session["id"]):
        return None
    if ticket := session.get("ticket"):
        return await viewer_by(ticket, registry)
    operator = await registry.operator(session["operator"])
    if operator is None or _digest(operator.password_hash) != session["password"]:
        return None
    return Viewer(operator.name)


async def signed_in(request: Request) -> Viewer:
    """Return who is signed in. Raises SignInFirst."""
    viewer = await viewer_of(request)
    if viewer is None:
        raise SignInFirst
    return viewer


async def sign_in(request: Request, name: str, password: str) -> None:
    """Sign an operator in. Raises Problem: unauthenticated, too_many_attempts."""
    with sign_in_attempt(name, address_of(request)):
        operator = await check_password(services_of(request).registry, name, password)
        if operator is None:
            raise Problem("unauthenticated", "Invalid username or password.")
    await _start_session(request, operator=operator.name, password=_digest(operator.password_hash))


async def sign_in_tenant(request: Request, ticket: Ticket) -> None:
    """Sign a tenant in."""
    await _start_session(request, ticket=ticket)


async def sign_out(request: Request) -> None:
    """End the session, also for copies of its cookie."""
    if session_id := request.session.get("id"):
        await services_of(request).registry.end_session(session_id, int(time.time()) + SESSION_LIFE_S)
    request.session.clear()


def address_of(request: Request) -> str:
    return address_of_scope(request.scope)


def csrf_field(request: Request) -> Markup:
    """Return the hidden field with the session's token, which every form sends back."""
    token: str = request.session.setdefault("csrf", secrets.token_urlsafe(32))
    return Markup('<input type="hidden" name="csrf" value="{}">').format(token)


def check_csrf(request: Request, form: Mapping[str, str]) -> None:
    """Raise Problem forbidden unless the form has the session's token."""
    expected = request.session.get("csrf", "")
    if not expected or not hmac.compare_digest(expected.encode(), form.get("csrf", "").encode()):
        raise Problem("forbidden")


async def _start_session(request: Request, **values: object) -> None:
    await sign_out(request)
    request.session.update(id=secrets.token_hex(16), **values)


def _digest(password_hash: str) -> str:
    """Return a value that changes with the password, which ends the sessions of the old one."""
    return hashlib.sha256(password_hash.encode()).hexdigest()
