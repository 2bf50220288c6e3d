"""Encryption of stored Cycles keys: with the newest secret of TENANT_KEYS_SECRET, decryption with any of them."""

import base64
import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from ..core.problems import Problem


class Vault:
    """`secrets` are newest first. Every method raises Problem not_configured if there is none."""

    def __init__(self, secrets: Sequence[SecretStr]) -> None:
        self._fernets = [Fernet(_key_from(secret)) for secret in secrets]

    def seal(self, text: str) -> str:
        """Encrypt with the newest secret."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, token: str) -> str:
        """Decrypt. Raises Problem wrong_secret if no secret fits."""
        try:
            return self._fernet.decrypt(token).decode()
        except InvalidToken:
            detail = "No secret of TENANT_KEYS_SECRET decrypts a Cycles key. Add the one it was encrypted with."
            raise Problem("wrong_secret", detail) from None

    @property
    def _fernet(self) -> MultiFernet:
        if not self._fernets:
            raise Problem("not_configured", "TENANT_KEYS_SECRET is missing. It encrypts the Cycles keys.")
        return MultiFernet(self._fernets)


def _key_from(secret: SecretStr) -> bytes:
    # no password hash: the settings require a long random secret
    return base64.urlsafe_b64encode(hashlib.sha256(secret.get_secret_value().encode()).digest())
