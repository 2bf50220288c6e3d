"""Settings of authentication by a gateway."""

from pydantic import BaseModel

from .setting_types import Secrets, secret_faults

CHALLENGE = "Gateway"
"""The WWW-Authenticate header of a 401. No scheme is registered for a gateway, and a Bearer token would not help."""
SCHEMES = {
    "tenant": {"type": "apiKey", "in": "header", "name": "X-Tenant-ID", "description": "A tenant from `var/dev.json`"},
    "gateway": {"type": "apiKey", "in": "header", "name": "X-Gateway-Secret", "description": "From `var/dev.json`"},
}
"""OpenAPI's security schemes, all of which a request needs."""


class IdentitySettings(BaseModel):
    """The secrets that authenticate the gateway."""

    gateway_secret: Secrets = []

    def identity_faults(self) -> list[str]:
        """Return a line for each fault that forbids serving."""
        return secret_faults("GATEWAY_SECRET", self.gateway_secret)
