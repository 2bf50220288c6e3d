"""Who looks at the pages, and how they are let in: what is the same for every framework."""

from dataclasses import dataclass

from cachetools import TTLCache

from ..core.problems import Problem
from ..tenants.links import spend_link
from ..tenants.registry import Registry
from .services import Services

MOST_FAILURES = 5
FAILURES_COUNT_FOR_S = 300

_attempts: TTLCache[tuple[str, str], int] = TTLCache(10_000, FAILURES_COUNT_FOR_S)
"""Tries of a name from an address that have not succeeded."""


class SignInFirst(Exception):
    """Nobody has signed in."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """An operator, who sees all tenants, or a `tenant` (its ID), which sees itself. No viewer pays for a call."""

    name: str
    tenant: str | None = None

    @property
    def is_operator(self) -> bool:
        return self.tenant is None

    def check(self, tenant: str | None = None) -> None:
        """Raises Problem not_found unless this viewer sees the tenant; without one, unless it is an operator."""
        if self.tenant not in (None, tenant):
            raise Problem("not_found")


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a tenant's session holds: its ID and, if it came by an API key, that key's digest."""

    tenant: str
    key: str = ""


async def viewer_by(ticket: Ticket, registry: Registry) -> Viewer | None:
    """The tenant, unless it is closed or its key has been revoked since."""
    if ticket.key:
        found = await registry.find_api_key(ticket.key)
        tenant = found[1] if found else None
    else:
        tenant = await registry.tenant(ticket.tenant)
    if tenant is None or tenant.id != ticket.tenant or tenant.status == "closed":
        return None
    return Viewer(tenant.name, tenant.id)


async def ticket_by_key(services: Services, key: str, address: str) -> Ticket:
    """What an API key lets in. Raises Problem: unauthenticated, too_many_attempts."""
    begin("API key", address)
    owner = await services.identity.owner(key)
    if owner is None:
        raise Problem("unauthenticated", "This key is not known, or no longer valid.")
    succeeded("API key", address)
    return Ticket(*owner)


async def ticket_by_link(services: Services, token: str, address: str) -> Ticket:
    """What a link lets in, once. Raises Problem: unauthenticated, too_many_attempts."""
    begin("link", address)
    tenant = await spend_link(services.registry, token)
    if tenant is None:
        raise Problem("unauthenticated", "This link was used before, or has expired. Ask for another one.")
    succeeded("link", address)
    return Ticket(tenant)


def begin(name: str, address: str) -> None:
    """Count a try before it is checked: tries at the same time count too. Raises Problem."""
    attempt = (name, address)
    if _attempts.get(attempt, 0) >= MOST_FAILURES:
        raise Problem("too_many_attempts", "Try again in a few minutes.", FAILURES_COUNT_FOR_S)
    _attempts[attempt] = _attempts.get(attempt, 0) + 1


def succeeded(name: str, address: str) -> None:
    _attempts.pop((name, address), None)


def local_path(path: str, roots: tuple[str, ...] = ("/dashboard/",)) -> str:
    """Return where to go after signing in: `path` if it is below one of `roots`, never another site."""
    return path if path.startswith(roots) else "/dashboard/"
