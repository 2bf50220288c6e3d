"""Cached tenants. A query costs as much CPU as the rest of a request, so unchanged tenants are not read again."""

from collections.abc import Callable, Coroutine
from typing import Any

from ..core.cache import TTLCache
from ..core.problems import Problem
from .headers import Headers, check_claim
from .models import Tenant
from .registry import Registry

VERSION_TTL_S = 2.0
"""A revoked key or a suspended tenant is refused after this."""
TENANT_TTL_S = 300.0
"""Changes made to the database by hand, without a new version, are seen after this."""
MAX_TENANTS = 20_000
MAX_NAME_LENGTH = 128


class TenantCache:
    """Tenants by a name, such as their ID. `load` reads one; it is called again once the registry's version changes.

    Unknown names are not cached, so that guesses don't push out known ones.
    """

    def __init__(self, registry: Registry, load: Callable[[str], Coroutine[Any, Any, Tenant | None]]) -> None:
        self._registry = registry
        self._load = load
        self._versions = TTLCache[str, int](1, VERSION_TTL_S)
        self._tenants = TTLCache[tuple[int, str], Tenant](MAX_TENANTS, TENANT_TTL_S)

    async def admit(self, name: str, headers: Headers) -> str:
        """Return the ID of an active tenant.

        Raise Problem: unauthenticated, tenant_mismatch, tenant_suspended, invalid_request (two X-Tenant-ID).
        """
        if len(name) > MAX_NAME_LENGTH or not (name.isascii() and name.isprintable()):
            raise Problem("unauthenticated")
        version = await self._versions.load("", self._registry.version)
        tenant = await self._tenants.load((version, name), lambda: self._known(name))
        if tenant.status == "closed":
            raise Problem("unauthenticated")
        check_claim(headers, tenant.id)
        if tenant.status == "suspended":
            raise Problem("tenant_suspended")
        return tenant.id

    async def _known(self, name: str) -> Tenant:
        tenant = await self._load(name)
        if tenant is None or not tenant.onboarded:
            raise Problem("unauthenticated")
        return tenant
