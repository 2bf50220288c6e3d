"""Each tenant is a Cycles tenant of the same ID, with a key of its own."""

import structlog

from ..core.problems import Problem
from ..core.tenancy_settings import TenancySettings
from .vault import Vault

log = structlog.get_logger(__name__)


def owner_of(scope: str) -> str:
    """Return the tenant that owns the ledger of this scope."""
    return scope.partition("/")[0].removeprefix("tenant:")


class CyclesKeys:
    """Decrypts the Cycles keys that calls are made with."""

    def __init__(self, settings: TenancySettings) -> None:
        self._vault = Vault(settings.tenant_keys_secret)

    def open(self, sealed_key: str) -> str:
        """Return a tenant's key. Raises Problem budget_misconfigured if it has none, or none that can be decrypted."""
        if not sealed_key:
            raise Problem("budget_misconfigured")
        try:
            return self._vault.open(sealed_key)
        except Problem as problem:
            log.error("Cycles key not decrypted", reason=problem.message)
            raise Problem("budget_misconfigured") from problem
