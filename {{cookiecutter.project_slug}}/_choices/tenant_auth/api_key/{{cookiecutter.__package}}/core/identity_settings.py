"""Settings of authentication by API key."""

from pydantic import BaseModel

CHALLENGE = "Bearer"
"""The WWW-Authenticate header of a 401."""
SCHEMES = {"api_key": {"type": "http", "scheme": "bearer", "description": "A key from `var/dev.json`"}}
"""OpenAPI's security schemes."""


class IdentitySettings(BaseModel):
    """API keys are in the registry and need no setting."""

    def identity_faults(self) -> list[str]:
        """Return a line for each fault that forbids serving."""
        return []
