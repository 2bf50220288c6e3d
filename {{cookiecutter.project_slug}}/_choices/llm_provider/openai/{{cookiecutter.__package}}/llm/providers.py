"""Which provider serves, by the settings."""

from importlib import import_module
from typing import Final, Literal

import structlog
from pydantic import Field, SecretStr

from .demo import DemoProvider, DemoSettings
from .lazy import LazyProvider
from .provider import Provider

GENERATED: Final = "openai"


class ProviderSettings(DemoSettings):
    """The settings of this project's providers, for the project's one settings class."""

    llm_provider: Literal["openai", "demo"] = GENERATED
    llm_model: str = "gpt-5.4-mini"
    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    llm_read_timeout: float = Field(default=60.0, gt=0)

    @property
    def provider_key_missing(self) -> bool:
        return self.llm_provider == GENERATED and not self.openai_api_key

    def provider_faults(self) -> list[str]:
        """Why serving in production must not start, one line for each fault."""
        if self.provider_key_missing:
            return ["OPENAI_API_KEY is missing (or set LLM_PROVIDER=demo)"]
        return []


def make_provider(settings: ProviderSettings) -> Provider:
    """The provider that serves. Without its key it is the demo: production has refused to start by then."""
    if settings.provider_key_missing:
        structlog.get_logger().warning("demo_provider_instead", why="OPENAI_API_KEY is not set")
    if settings.llm_provider == "demo" or not settings.openai_api_key:
        return DemoProvider(settings.demo_delay_ms / 1000)
    timeout = settings.llm_read_timeout
    key, base_url = settings.openai_api_key.get_secret_value(), settings.openai_base_url or None

    def make() -> Provider:
        provider: Provider = import_module(".openai", __package__).OpenAIProvider(key, base_url, timeout)
        return provider

    return LazyProvider(make)
