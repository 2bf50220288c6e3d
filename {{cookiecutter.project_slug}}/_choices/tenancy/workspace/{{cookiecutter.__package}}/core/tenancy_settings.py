"""What a tenant of ours is to Cycles: a workspace in the one Cycles tenant that this service has, with one key."""

from pydantic import BaseModel, SecretStr

from .errors import TenantsError


class TenancySettings(BaseModel):
    """The Cycles tenant that all of ours are workspaces of, and its key."""

    cycles_tenant: str = ""
    cycles_api_key: SecretStr | None = None

    def tenancy_faults(self) -> list[str]:
        """Why serving must not start, one line for each fault."""
        faults = []
        if not self.cycles_tenant:
            faults.append("CYCLES_TENANT is missing: the Cycles tenant that the workspaces are in")
        if not self.cycles_api_key:
            faults.append("CYCLES_API_KEY is missing: a key of CYCLES_TENANT")
        return faults

    def root_of(self, tenant: str) -> dict[str, str]:
        """The levels of Cycles, by name, below which all of a tenant's calls are booked. Raises TenantsError."""
        if not self.cycles_tenant:
            raise TenantsError("not_configured", "CYCLES_TENANT is missing: the workspaces are in it")
        return {"tenant": self.cycles_tenant, "workspace": tenant}
