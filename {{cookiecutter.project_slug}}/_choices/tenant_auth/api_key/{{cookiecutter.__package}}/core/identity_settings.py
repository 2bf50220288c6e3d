"""The settings of this way of authentication."""

from pydantic import BaseModel

CHALLENGE = "Bearer"
"""What a 401 asks for."""
SCHEMES = {"api_key": {"type": "http", "scheme": "bearer"}}
"""What a request shows, in OpenAPI's words."""


class IdentitySettings(BaseModel):
    """API keys live in the registry and need no setting."""

    def identity_faults(self) -> list[str]:
        """Why serving must not start, one line for each fault."""
        return []
