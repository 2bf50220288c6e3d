"""Each tenant is a workspace of the one Cycles tenant of this service. All share its key."""

from pydantic import BaseModel, SecretStr

from .problems import Problem


class TenancySettings(BaseModel):
    """The Cycles tenant of all workspaces, and its key."""

    cycles_tenant: str = ""
    cycles_api_key: SecretStr | None = None

    def tenancy_faults(self) -> list[str]:
        """Return a line for each fault that forbids serving."""
        faults = []
        if not self.cycles_tenant:
            faults.append("CYCLES_TENANT is missing: the Cycles tenant of all workspaces")
        if not self.cycles_api_key:
            faults.append("CYCLES_API_KEY is missing: a key of CYCLES_TENANT")
        return faults

    def root_of(self, tenant: str) -> dict[str, str]:
        """Return the subject levels of Cycles that all of a tenant's calls are booked under. Raise Problem."""
        if not self.cycles_tenant:
            raise Problem("not_configured", "CYCLES_TENANT is missing. It is the Cycles tenant of all workspaces.")
        return {"tenant": self.cycles_tenant, "workspace": tenant}
