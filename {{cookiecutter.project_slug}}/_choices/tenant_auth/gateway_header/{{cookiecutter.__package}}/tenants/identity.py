"""Caller identity by a gateway: it names the tenant in X-Tenant-ID and authenticates with X-Gateway-Secret."""

import hashlib
import hmac

from ..core.config import Settings
from ..core.problems import Problem
from .headers import GATEWAY_SECRET, Headers, claimed_tenant, values_of
from .registry import Registry
from .tenant_cache import TenantCache


class Identity:
    """Identifies the callers of one process."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._secrets = [_digest(secret.get_secret_value().encode()) for secret in settings.gateway_secret]
        self._tenants = TenantCache(registry, registry.tenant)

    async def identify(self, headers: Headers) -> str:
        """Return the ID of the tenant that the gateway names.

        Raise Problem: unauthenticated, tenant_suspended, invalid_request (two X-Tenant-ID).
        """
        tenant = claimed_tenant(headers) if self._is_from_gateway(headers) else None
        if tenant is None:
            raise Problem("unauthenticated")
        return await self._tenants.admit(tenant.decode("latin-1"), headers)

    def _is_from_gateway(self, headers: Headers) -> bool:
        sent = values_of(headers, GATEWAY_SECRET)
        # compare all digests, in constant time
        equal = [hmac.compare_digest(_digest(b"".join(sent)), secret) for secret in self._secrets]
        return len(sent) == 1 and any(equal)


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def first_credential(_tenant: str) -> tuple[None, None]:
    """Return nothing to store or show at the end of onboarding: the gateway knows its callers."""
    return None, None
