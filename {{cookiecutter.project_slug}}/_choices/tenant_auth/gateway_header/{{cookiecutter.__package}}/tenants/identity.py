"""Who is calling: the gateway in front knows, and tells by X-Tenant-ID. Its secret shows that it is the gateway."""

import hashlib
import hmac

from ..core.config import Settings
from ..core.problems import Problem
from .headers import GATEWAY_SECRET, Headers, claimed_tenant, values_of
from .lookups import Found, Lookups, admit
from .records import Caller
from .registry import Registry


class Identity:
    """The callers of one process."""

    signs_in = False
    """Whether what callers send also opens their tenant's page."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._secrets = [_digest(secret.get_secret_value().encode()) for secret in settings.gateway_secret]
        self._registry = registry
        self._tenants = Lookups(self._tenant, registry.version)

    async def identify(self, headers: Headers) -> Caller:
        """The caller that the gateway names.

        Raises Problem: unauthenticated, tenant_suspended, invalid_request (two X-Tenant-ID).
        """
        tenant = claimed_tenant(headers) if self._is_from_gateway(headers) else None
        if tenant is None:
            raise Problem("unauthenticated")
        found = admit(await self._tenants.find(tenant.decode("latin-1")), headers)
        return Caller(found.tenant.id)

    async def owner(self, _key: str) -> tuple[str, str] | None:
        """For the dashboard: there are no keys, so tenants sign in by links."""
        return None

    async def flush(self) -> None:
        """Nothing is written down of the gateway."""

    def _is_from_gateway(self, headers: Headers) -> bool:
        sent = values_of(headers, GATEWAY_SECRET)
        # all of them, and by digests of one length: the time that it takes tells nothing of any secret
        equal = [hmac.compare_digest(_digest(b"".join(sent)), secret) for secret in self._secrets]
        return len(sent) == 1 and any(equal)

    async def _tenant(self, tenant_id: str) -> Found | None:
        """None until its onboarding is complete: it has nothing to pay from before."""
        tenant = await self._registry.tenant(tenant_id)
        return Found(tenant) if tenant and tenant.onboarded else None


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def first_credential(_tenant: str) -> tuple[None, None]:
    """Nothing to keep or show at the end of onboarding: the gateway knows its callers."""
    return None, None
