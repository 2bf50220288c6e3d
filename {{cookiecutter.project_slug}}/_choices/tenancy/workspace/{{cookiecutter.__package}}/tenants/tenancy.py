"""Each tenant is a workspace of the one Cycles tenant of this service. All share its key."""

from ..core.tenancy_settings import TenancySettings


def owner_of(scope: str) -> str | None:
    """Return the tenant that owns the ledger of this scope, None for a ledger above all tenants."""
    _, _, below = scope.partition("/")
    level, _, name = below.partition("/")[0].partition(":")
    return name if level == "workspace" else None


class CyclesKeys:
    """The Cycles key that calls are made with: the one of the settings."""

    def __init__(self, settings: TenancySettings) -> None:
        self._key = settings.cycles_api_key

    def open(self, _sealed_key: str) -> str:
        return self._key.get_secret_value() if self._key else ""
