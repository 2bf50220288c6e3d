"""Each tenant is a Cycles tenant of the same ID, with a key of its own."""

import structlog
from cryptography.fernet import InvalidToken, MultiFernet

from ..core.ciphers import fernets_of
from ..core.problems import Problem
from ..core.tenancy_settings import TenancySettings

log = structlog.get_logger(__name__)


def owner_of(scope: str) -> str:
    """Return the tenant that owns the ledger of this scope."""
    return scope.partition("/")[0].removeprefix("tenant:")


class CyclesKeys:
    """Encrypts Cycles keys with the newest secret of TENANT_KEYS_SECRET, and decrypts them with any of them."""

    def __init__(self, settings: TenancySettings) -> None:
        self._fernets = fernets_of(settings.tenant_keys_secret)

    def seal(self, key: str) -> str:
        """Encrypt a key. Raises Problem not_configured without a secret."""
        if not self._fernets:
            raise Problem("not_configured", "TENANT_KEYS_SECRET is missing. It encrypts the Cycles keys.")
        return MultiFernet(self._fernets).encrypt(key.encode()).decode()

    def open(self, sealed_key: str) -> str:
        """Return a tenant's key. Raises Problem budget_misconfigured if it has none, or none that can be decrypted."""
        if not sealed_key:
            raise Problem("budget_misconfigured")
        try:
            return MultiFernet(self._fernets).decrypt(sealed_key).decode()
        except (InvalidToken, ValueError) as error:  # ValueError: no secret
            log.error("Cycles key not decrypted", reason="no secret of TENANT_KEYS_SECRET fits")
            raise Problem("budget_misconfigured") from error
