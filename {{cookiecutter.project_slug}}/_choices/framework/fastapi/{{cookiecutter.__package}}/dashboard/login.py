"""Operators sign in with name and password, tenants by an API key or a link; from then on their session names them."""

import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict

from fastapi import Request
from markupsafe import Markup

from ..dependencies import services_of
from ..passwords import check_password
from ..problems import Problem
from .records import SESSION_LIFE_S
from .viewer import SignInFirst, Ticket, Viewer, begin, succeeded, viewer_by


async def viewer_of(request: Request) -> Viewer | None:
    """Whom the session names, if it has not run out and the registry still knows them."""
    session, registry = request.session, services_of(request).registry
    if session.get("until", 0) < time.time():
        return None
    if ticket := session.get("ticket"):
        return await viewer_by(Ticket(**ticket), registry)
    name: str = session.get("operator", "")
    return Viewer(name) if await registry.operator(name) else None


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
    if not await check_password(services_of(request).registry, name, password):
        raise Problem("unauthenticated", "The name or the password is wrong.")
    succeeded(name, address)
    _begin_session(request, operator=name)


def sign_in_tenant(request: Request, ticket: Ticket) -> None:
    """Make the session this tenant's."""
    _begin_session(request, ticket=asdict(ticket))


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


def _begin_session(request: Request, **whose: object) -> None:
    request.session.clear()
    request.session.update(until=int(time.time()) + SESSION_LIFE_S, **whose)
