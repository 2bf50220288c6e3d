"""Settings of the model provider."""

from typing import Literal

from pydantic import BaseModel, Field, PositiveFloat, SecretStr


class ProviderSettings(BaseModel):
    """Part of `Settings`."""

    llm_provider: Literal["anthropic", "demo"] = "anthropic"
    llm_model: str = "claude-haiku-4-5"
    llm_read_timeout: PositiveFloat = 60.0
    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: str | None = None
    demo_delay_ms: int = Field(default=40, ge=0, le=10_000)

    def provider_faults(self) -> list[str]:
        """Return why serving in production must not start, one line per fault."""
        if self.llm_provider == "anthropic" and not self.anthropic_api_key:
            return ["ANTHROPIC_API_KEY is missing (or set LLM_PROVIDER=demo)"]
        return []
