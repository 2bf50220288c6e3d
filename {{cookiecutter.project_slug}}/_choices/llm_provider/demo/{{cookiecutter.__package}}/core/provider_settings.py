"""The settings of this project's providers."""

from typing import Final, Literal

from .demo_settings import DemoSettings

GENERATED: Final = "demo"


class ProviderSettings(DemoSettings):
    """The settings of this project's providers, for the project's one settings class."""

    llm_provider: Literal["demo"] = GENERATED
    llm_model: str = "demo-1"

    @property
    def provider_key_missing(self) -> bool:
        return False

    def provider_faults(self) -> list[str]:
        """Why serving in production must not start, one line for each fault."""
        return []
