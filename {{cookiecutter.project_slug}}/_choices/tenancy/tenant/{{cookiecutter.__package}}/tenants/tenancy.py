"""Each tenant is a Cycles tenant of the same ID, with a key of its own."""

from ..core.ciphers import Cipher
from ..core.problems import Problem
from ..core.tenancy_settings import TenancySettings


def owner_of(scope: str) -> str:
    """Return the tenant that owns the ledger of this scope."""
    return scope.partition("/")[0].removeprefix("tenant:")


class CyclesKeys(Cipher):
    """Encrypts Cycles keys, and decrypts them to make calls."""

    def __init__(self, settings: TenancySettings) -> None:
        super().__init__("TENANT_KEYS_SECRET", settings.tenant_keys_secret)

    def open(self, sealed: str) -> str:
        """Return a tenant's key. Raise Problem budget_misconfigured if it has none, or none that can be decrypted."""
        if key := super().open(sealed):
            return key
        raise Problem("budget_misconfigured")
