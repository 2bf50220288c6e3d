"""Who is calling: a token of the issuer decides. X-Tenant-ID is a claim that must agree with it."""

from ..core.config import Settings
from .headers import Headers, bearer_token
from .lookups import Found, Lookups, admit
from .records import Caller
from .registry import Registry
from .tokens import Tokens


class Identity:
    """The callers of one process."""

    signs_in = False
    """Whether what callers send also opens their tenant's page."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._tokens = Tokens(settings)
        self._registry = registry
        self._tenants = Lookups(self._tenant, registry.version)

    async def identify(self, headers: Headers) -> Caller:
        """The caller that these headers prove.

        Raises Problem: unauthenticated, tenant_mismatch, tenant_suspended, invalid_request (two X-Tenant-ID),
        identity_unavailable.
        """
        caller = await self._tokens.caller(bearer_token(headers))
        admit(await self._tenants.find(caller.tenant), headers)
        return caller

    async def owner(self, _key: str) -> tuple[str, str] | None:
        """For the dashboard: there are no keys, so tenants sign in by links."""
        return None

    async def flush(self) -> None:
        """Nothing is written down of tokens."""

    async def _tenant(self, tenant_id: str) -> Found | None:
        """None until its onboarding is complete: it has nothing to pay from before."""
        tenant = await self._registry.tenant(tenant_id)
        return Found(tenant) if tenant and tenant.onboarded else None


def first_credential(_tenant: str) -> tuple[None, None]:
    """Nothing to keep or show at the end of onboarding: the issuer makes the tokens."""
    return None, None
