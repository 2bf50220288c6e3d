"""Sessions of the pages: operators (staff users) sign in with a password, tenants with a link."""

from django.conf import settings
from django.contrib.auth import aget_user, alogin
from django.contrib.auth.models import User
from django.http import HttpRequest

from ..core.problems import Problem
from ..tenants.links import use_link
from .dependencies import services_of
from .passwords import check_password
from .sessions import SessionStore
from .viewer import SignInFirst, Viewer, sign_in_attempt, tenant_viewer


async def viewer_of(request: HttpRequest) -> Viewer | None:
    """Return whom the session names, if they may still sign in. Also works for the API, without middleware."""
    if not hasattr(request, "session"):
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        if key is None:
            return None
        request.session = SessionStore(key)
    if session_id := await request.session.aget("sign_in"):
        return tenant_viewer(await services_of(request).registry.sign_in(session_id))
    user = await aget_user(request)
    is_operator = isinstance(user, User) and user.is_active and user.is_staff
    return Viewer(user.get_username()) if is_operator else None


async def signed_in(request: HttpRequest) -> Viewer:
    """Return whom the session names. Raise SignInFirst."""
    if viewer := await viewer_of(request):
        return viewer
    raise SignInFirst


async def sign_in(request: HttpRequest, name: str, password: str) -> None:
    """Make the session this operator's. Raise Problem: unauthenticated, too_many_attempts."""
    with sign_in_attempt(name, request.META.get("REMOTE_ADDR", "")):
        user = await check_password(request, username=name, password=password) if name.isprintable() else None
        if not isinstance(user, User) or not user.is_staff:
            raise Problem("unauthenticated", "Invalid username or password.")
    await request.session.aflush()
    await alogin(request, user)


async def follow_link(request: HttpRequest, token: str) -> None:
    """Make the session this tenant's. Raise Problem: unauthenticated, too_many_attempts."""
    with sign_in_attempt("link", request.META.get("REMOTE_ADDR", "")):
        session_id = await use_link(services_of(request).registry, token)
    await request.session.aflush()
    await request.session.aset("sign_in", session_id)
