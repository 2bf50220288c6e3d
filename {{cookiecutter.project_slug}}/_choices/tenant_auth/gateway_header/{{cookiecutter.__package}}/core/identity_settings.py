"""The settings of this way of authentication."""

from pydantic import BaseModel

from .setting_types import Secrets, secret_faults

CHALLENGE = "Gateway"
"""What a 401 asks for: there is no registered word for a gateway's headers, and a Bearer token would not help."""
SCHEMES = {
    "tenant": {"type": "apiKey", "in": "header", "name": "X-Tenant-ID"},
    "gateway": {"type": "apiKey", "in": "header", "name": "X-Gateway-Secret"},
}
"""What a request shows, in OpenAPI's words: all of it."""


class IdentitySettings(BaseModel):
    """By what the gateway in front proves itself."""

    gateway_secret: Secrets = []

    def identity_faults(self) -> list[str]:
        """Why serving must not start, one line for each fault."""
        return secret_faults("GATEWAY_SECRET", self.gateway_secret)
