"""The Cycles keys at rest: sealed by the newest secret of TENANT_KEYS_SECRET, opened by any of them."""

import base64
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from ..core.errors import TenantsError


class VaultError(TenantsError):
    """There is no secret, or none that opens what was sealed."""


class Vault:
    """Seals and opens short texts. `secrets` are newest first; to rotate, put one in front, then rewrap.

    Every method raises VaultError when there is no secret.
    """

    def __init__(self, secrets: Sequence[SecretStr]) -> None:
        self._fernets = [Fernet(_key_from(secret)) for secret in secrets]

    def seal(self, text: str) -> str:
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, token: str) -> str:
        """What was sealed. Raises VaultError when no secret opens it."""
        try:
            return self._fernet.decrypt(token).decode()
        except InvalidToken:
            raise _wrong_secret() from None

    def rewrap(self, token: str) -> str:
        """The same, sealed by the newest secret, so that older ones can go. Raises as `open` does."""
        try:
            return self._fernet.rotate(token).decode()
        except InvalidToken:
            raise _wrong_secret() from None

    @property
    def _fernet(self) -> MultiFernet:
        if not self._fernets:
            raise VaultError("not_configured", "TENANT_KEYS_SECRET is missing: it encrypts the Cycles keys")
        return MultiFernet(self._fernets)


def _key_from(secret: SecretStr) -> bytes:
    # HKDF, not a password hash: the settings insist on a long random secret
    derived = HKDF(SHA256(), length=32, salt=None, info=b"tenants' Cycles keys").derive(
        secret.get_secret_value().encode()
    )
    return base64.urlsafe_b64encode(derived)


def _wrong_secret() -> VaultError:
    detail = "No secret of TENANT_KEYS_SECRET opens a tenant's Cycles key: add the one that sealed it to the list"
    return VaultError("wrong_secret", detail)
