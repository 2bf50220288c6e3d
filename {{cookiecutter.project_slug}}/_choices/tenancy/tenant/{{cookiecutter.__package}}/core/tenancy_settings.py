"""What a tenant of ours is to Cycles: a Cycles tenant of the same ID, with a key of its own."""

from pydantic import BaseModel

from .setting_types import Secrets, secret_faults


class TenancySettings(BaseModel):
    """The tenants' Cycles keys lie encrypted in the registry."""

    tenant_keys_secret: Secrets = []

    def tenancy_faults(self) -> list[str]:
        """Why serving must not start, one line for each fault."""
        return secret_faults("TENANT_KEYS_SECRET", self.tenant_keys_secret)

    def root_of(self, tenant: str) -> dict[str, str]:
        """The levels of Cycles, by name, below which all of a tenant's calls are booked."""
        return {"tenant": tenant}
