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


def owner_of(scope: str) -> str | None:
    """The tenant that the ledger at this scope path belongs to; None where it is above them all."""
    _, _, below = scope.partition("/")
    level, _, name = below.partition("/")[0].partition(":")
    return name if level == "workspace" else None


class CyclesKeys:
    """Where the key comes from that a tenant's calls are made with."""

    def __init__(self, settings: TenancySettings) -> None:
        self._key = settings.cycles_api_key

    def open(self, _sealed_key: str) -> str:
        """The one of the settings, without which the app does not start."""
        return self._key.get_secret_value() if self._key else ""
