"""Settings of the model provider."""

from typing import Literal

from pydantic import BaseModel, Field, PositiveFloat, SecretStr


class ProviderSettings(BaseModel):
    """Part of `Settings`."""

    llm_provider: Literal["openai", "demo"] = "openai"
    llm_model: str = "gpt-5.4-mini"
    llm_read_timeout: PositiveFloat = 60.0
    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    openai_limit_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    openai_stream_options: bool = True
    demo_delay_ms: int = Field(default=40, ge=0, le=10_000)

    def provider_faults(self) -> list[str]:
        """Return why serving in production must not start, one line per fault."""
        if self.llm_provider == "openai" and not self.openai_api_key:
            return ["OPENAI_API_KEY is missing (or set LLM_PROVIDER=demo)"]
        return []
