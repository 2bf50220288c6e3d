"""Sign-in to the dashboard: operators by password, tenants by a link. A signed cookie holds the session's ID."""

import hmac
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from fastapi import Request
from markupsafe import Markup

from ..core.config import SESSION_LIFE_S
from ..core.problems import Problem
from ..tenants.links import use_link
from ..tenants.models import SignIn
from .dependencies import services_of
from .edge import address_of
from .passwords import check_password
from .viewer import SignInFirst, Viewer, sign_in_attempt, tenant_viewer


async def viewer_of(request: Request) -> Viewer | None:
    """Return who is signed in, unless the session was ended or they lost access."""
    session_id = request.session.get("id")
    session = await services_of(request).registry.sign_in(session_id) if session_id else None
    return Viewer(session.operator) if session and session.operator else tenant_viewer(session)


async def signed_in(request: Request) -> Viewer:
    """Return who is signed in. Raise SignInFirst."""
    if viewer := await viewer_of(request):
        return viewer
    raise SignInFirst


async def sign_in(request: Request, name: str, password: str) -> None:
    """Sign an operator in. Raise Problem: unauthenticated, too_many_attempts."""
    registry = services_of(request).registry
    with sign_in_attempt(name, address_of(request.scope)):
        operator = await check_password(registry, name, password)
        if operator is None:
            raise Problem("unauthenticated", "Invalid username or password.")
    expires_at = datetime.now(UTC) + timedelta(seconds=SESSION_LIFE_S)
    session = SignIn(id=secrets.token_hex(32), operator=operator.name, used=True, expires_at=expires_at)
    await registry.add_sign_in(session)
    await _start_session(request, session.id)


async def follow_link(request: Request, token: str) -> None:
    """Sign a tenant in. Raise Problem: unauthenticated, too_many_attempts."""
    with sign_in_attempt("link", address_of(request.scope)):
        session_id = await use_link(services_of(request).registry, token)
    await _start_session(request, session_id)


async def sign_out(request: Request) -> None:
    """End the session, also for copies of its cookie."""
    await services_of(request).registry.end_sessions(id=request.session.get("id", ""))
    request.session.clear()


def csrf_field(request: Request) -> Markup:
    """Return the hidden field with the session's token, which every form sends back."""
    token: str = request.session.setdefault("csrf", secrets.token_urlsafe(32))
    return Markup('<input type="hidden" name="csrf" value="{}">').format(token)


def check_csrf(request: Request, form: Mapping[str, str]) -> None:
    """Raise Problem forbidden unless the form has the session's token."""
    expected = request.session.get("csrf", "")
    if not expected or not hmac.compare_digest(expected.encode(), form.get("csrf", "").encode()):
        raise Problem("forbidden")


async def _start_session(request: Request, session_id: str) -> None:
    await sign_out(request)
    request.session["id"] = session_id
