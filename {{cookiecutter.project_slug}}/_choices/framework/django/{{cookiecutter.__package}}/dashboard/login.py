"""Operators, the staff of contrib.auth, sign in with name and password. No session pays for a call."""

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth import aget_user, alogin, authenticate
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest

from ..problems import Problem
from ..tenants.records import may_be_name
from . import attempts


async def operator_of(request: HttpRequest) -> str | None:
    """The operator that the session names, if it is one still. The API, without session middleware, may ask too."""
    if not hasattr(request, "session"):
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
        if key is None:
            return None
        request.session = SessionStore(key)
    user = await aget_user(request)
    return user.get_username() if isinstance(user, User) and user.is_active and user.is_staff else None


async def sign_in(request: HttpRequest, name: str, password: str) -> None:
    """Make the session this operator's. Raises Problem: unauthenticated, too_many_attempts."""
    address = request.META.get("REMOTE_ADDR", "")
    attempts.begin(name, address)
    # all of it in a thread: for an unknown name aauthenticate hashes on the event loop
    user = await sync_to_async(authenticate)(request, username=name, password=password) if may_be_name(name) else None
    if not isinstance(user, User) or not user.is_staff:
        raise Problem("unauthenticated", "The name or the password is wrong.")
    attempts.succeeded(name, address)
    await alogin(request, user)
