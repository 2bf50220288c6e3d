"""What a tenant of ours is to Cycles: a workspace in the one Cycles tenant that this service has, with one key."""

from ..core.tenancy_settings import TenancySettings


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
