"""What a tenant of ours is to Cycles: a Cycles tenant of the same ID, with a key of its own."""

from ..core.problems import Problem
from ..core.tenancy_settings import TenancySettings
from .vault import Vault


def owner_of(scope: str) -> str:
    """The tenant that the ledger at this scope path belongs to."""
    return scope.partition("/")[0].removeprefix("tenant:")


class CyclesKeys:
    """Where the key comes from that a tenant's calls are made with."""

    def __init__(self, settings: TenancySettings) -> None:
        self._vault = Vault(settings.tenant_keys_secret)

    def open(self, sealed_key: str) -> str:
        """The tenant's own, sealed in its row. Raises Problem budget_misconfigured where it has none, VaultError."""
        if not sealed_key:
            raise Problem("budget_misconfigured")
        return self._vault.open(sealed_key)
