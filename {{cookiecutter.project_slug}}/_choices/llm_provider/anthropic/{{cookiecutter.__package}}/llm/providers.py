"""Which provider serves, by the settings."""

from importlib import import_module

import structlog

from ..core.provider_settings import ProviderSettings
from .demo import DemoProvider
from .lazy import LazyProvider
from .provider import Provider


def make_provider(settings: ProviderSettings) -> Provider:
    """The provider that serves. Without its key it is the demo: production has refused to start by then."""
    if settings.provider_key_missing:
        structlog.get_logger().warning("demo_provider_instead", why="ANTHROPIC_API_KEY is not set")
    if settings.llm_provider == "demo" or not settings.anthropic_api_key:
        return DemoProvider(settings.demo_delay_ms / 1000)
    timeout = settings.llm_read_timeout
    key, base_url = settings.anthropic_api_key.get_secret_value(), settings.anthropic_base_url or None

    def make() -> Provider:
        provider: Provider = import_module(".anthropic", __package__).AnthropicProvider(key, base_url, timeout)
        return provider

    return LazyProvider(make)
