"""Who views the dashboard, and how they sign in: what both frameworks share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from anyio import CapacityLimiter

from ..core.problems import Problem
from ..tenants.models import SignIn
from .throttle import Throttle

FAILURES_COUNT_FOR_S = 300

HASHES = CapacityLimiter(2)
"""Threads that hash passwords: a hash takes a core and up to 100 MiB."""

_of_name = Throttle(5, FAILURES_COUNT_FOR_S)
_of_address = Throttle(20, FAILURES_COUNT_FOR_S)


class SignInFirst(Exception):
    """Nobody is signed in."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """An operator, who sees all tenants, or the tenant with the ID `tenant`, which sees itself. Pays for no call."""

    name: str
    tenant: str | None = None

    @property
    def is_operator(self) -> bool:
        return self.tenant is None

    def check(self, tenant: str | None = None) -> None:
        """Raise Problem not_found unless this viewer may see the tenant; without one, unless it is an operator."""
        if self.tenant not in (None, tenant):
            raise Problem("not_found")


def tenant_viewer(session: SignIn | None) -> Viewer | None:
    """Return the tenant of a session, unless it is closed."""
    tenant = session.tenant if session else None
    return Viewer(tenant.name, tenant.id) if tenant and tenant.status != "closed" else None


@contextmanager
def sign_in_attempt(name: str, address: str) -> Iterator[None]:
    """Count an attempt as failed until the body ends well. Raise Problem too_many_attempts.

    Names are counted for each address: otherwise a stranger could lock an operator out.
    """
    key = (name[:64], address)
    if _of_address.fail(address) or _of_name.fail(key):
        raise Problem("too_many_attempts", "Too many failed attempts. Try again later.", FAILURES_COUNT_FOR_S)
    yield
    _of_address.clear(address)
    _of_name.clear(key)


def local_path(path: str, roots: tuple[str, ...] = ("/dashboard/",)) -> str:
    """Return `path` if it is below one of `roots`, else the first page: a redirect must not leave the site."""
    return path if path.startswith(roots) else "/dashboard/"
