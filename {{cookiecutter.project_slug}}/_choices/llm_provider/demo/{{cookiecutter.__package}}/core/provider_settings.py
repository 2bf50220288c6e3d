"""Settings of the model provider."""

from typing import Literal

from pydantic import BaseModel, Field


class ProviderSettings(BaseModel):
    """Part of `Settings`."""

    llm_provider: Literal["demo"] = "demo"
    llm_model: str = "demo-1"
    demo_delay_ms: int = Field(default=40, ge=0, le=10_000)

    def provider_faults(self) -> list[str]:
        """Return why serving in production must not start, one line per fault."""
        return []
