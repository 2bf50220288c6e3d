"""The settings of this project's providers."""

from typing import Final, Literal

from pydantic import Field, SecretStr

from .demo_settings import DemoSettings

GENERATED: Final = "anthropic"


class ProviderSettings(DemoSettings):
    """The settings of this project's providers, for the project's one settings class."""

    llm_provider: Literal["anthropic", "demo"] = GENERATED
    llm_model: str = "claude-haiku-4-5"
    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: str | None = None
    llm_read_timeout: float = Field(default=60.0, gt=0)

    @property
    def provider_key_missing(self) -> bool:
        return self.llm_provider == GENERATED and not self.anthropic_api_key

    def provider_faults(self) -> list[str]:
        """Why serving in production must not start, one line for each fault."""
        if self.provider_key_missing:
            return ["ANTHROPIC_API_KEY is missing (or set LLM_PROVIDER=demo)"]
        return []
