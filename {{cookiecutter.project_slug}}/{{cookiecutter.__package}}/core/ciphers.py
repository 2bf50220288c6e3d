"""Encryption of what lies in the database, with the secrets of the settings."""

import base64
import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet
from pydantic import SecretStr


def fernets_of(secrets: Sequence[SecretStr], purpose: str = "") -> list[Fernet]:
    """Return a cipher for each secret, for MultiFernet. Those of another `purpose` have other keys."""
    # no password hash: the settings require long random secrets
    texts = [purpose + secret.get_secret_value() for secret in secrets]
    return [Fernet(base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())) for text in texts]
