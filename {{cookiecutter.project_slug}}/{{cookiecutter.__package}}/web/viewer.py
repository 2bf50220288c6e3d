"""Who views the dashboard, and how they sign in: what both frameworks share."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..core.problems import Problem
from ..tenants.links import spend_link
from ..tenants.registry import Registry
from .services import Services
from .throttle import Throttle

FAILURES_COUNT_FOR_S = 300

Ticket = tuple[str, str]
"""A tenant's session: its ID, and the digest of the API key that it signed in with, empty after a link."""

_failures = Throttle(5, FAILURES_COUNT_FOR_S)


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


async def viewer_by(ticket: Ticket, registry: Registry) -> Viewer | None:
    """Return the tenant, unless it is closed or its key was revoked."""
    tenant_id, digest = ticket
    tenant = await registry.tenant(tenant_id)
    if tenant is None or tenant.status == "closed" or (digest and not await registry.find_api_key(digest)):
        return None
    return Viewer(tenant.name, tenant.id)


async def ticket_by_key(services: Services, key: str, address: str) -> Ticket:
    """Return the ticket for an API key. Raises Problem: unauthenticated, too_many_attempts."""
    with sign_in_attempt("API key", address):
        if owner := await services.identity.owner(key):
            return owner
        raise Problem("unauthenticated", "This API key is unknown or was revoked.")


async def ticket_by_link(services: Services, token: str, address: str) -> Ticket:
    """Return the ticket for a link, which works once. Raises Problem: unauthenticated, too_many_attempts."""
    with sign_in_attempt("link", address):
        if tenant := await spend_link(services.registry, token):
            return tenant, ""
        raise Problem("unauthenticated", "This link was already used or has expired. Ask for a new one.")


@contextmanager
def sign_in_attempt(name: str, address: str) -> Iterator[None]:
    """Count an attempt as failed until the body ends well. Raises Problem too_many_attempts."""
    if _failures.fail((name, address)):
        raise Problem("too_many_attempts", "Try again in a few minutes.", FAILURES_COUNT_FOR_S)
    yield
    _failures.clear((name, address))


def local_path(path: str, roots: tuple[str, ...] = ("/dashboard/",)) -> str:
    """Return `path` if it is below one of `roots`, else the first page: a redirect must not leave the site."""
    return path if path.startswith(roots) else "/dashboard/"
