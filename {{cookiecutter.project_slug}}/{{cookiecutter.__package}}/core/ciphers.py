"""Encryption and hashes of what lies in the database."""

import base64
import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from .logging import log
from .problems import Problem


def digest_of(data: bytes) -> str:
    """Return the SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


class Cipher:
    """Encrypts with the newest secret of a setting, decrypts with any of them. Each `purpose` has keys of its own."""

    def __init__(self, setting: str, secrets: Sequence[SecretStr], purpose: str = "") -> None:
        # no password hash: the settings require long random secrets
        keys = [hashlib.sha256(f"{purpose}{secret.get_secret_value()}".encode()).digest() for secret in secrets]
        self._fernets = [Fernet(base64.urlsafe_b64encode(key)) for key in keys]
        self._setting = setting

    def seal(self, text: str) -> str:
        """Encrypt. Raise Problem not_configured without a secret."""
        if not self._fernets:
            raise Problem("not_configured", f"{self._setting} is missing. It encrypts secrets in the database.")
        return MultiFernet(self._fernets).encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str | None:
        """Decrypt. Return None for an empty text, and if no secret fits, which is logged."""
        try:
            return MultiFernet(self._fernets).decrypt(sealed).decode() if sealed else None
        except (InvalidToken, ValueError):  # ValueError: no secret
            log.error("secret in the database not decrypted", reason=f"no secret of {self._setting} fits")
            return None
