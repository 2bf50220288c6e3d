"""Each tenant is a Cycles tenant of the same ID, with a key of its own."""

from pydantic import BaseModel

from .setting_types import Secrets, secret_faults


class TenancySettings(BaseModel):
    """The secret that encrypts the tenants' Cycles keys."""

    tenant_keys_secret: Secrets = []

    def tenancy_faults(self) -> list[str]:
        """Return a line for each fault that forbids serving."""
        return secret_faults("TENANT_KEYS_SECRET", self.tenant_keys_secret)

    def root_of(self, tenant: str) -> dict[str, str]:
        """Return the subject levels of Cycles that all of a tenant's calls are booked under."""
        return {"tenant": tenant}
