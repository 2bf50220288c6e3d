"""Choice of the model provider."""

import structlog

from ..core.provider_settings import ProviderSettings
from .demo import DemoProvider
from .lazy import LazyProvider
from .provider import Provider

log = structlog.get_logger(__name__)


def make_provider(settings: ProviderSettings) -> Provider:
    """Return the configured provider, or the demo provider without a key. Production refuses to start without one."""
    if settings.llm_provider == "openai" and not settings.openai_api_key:
        log.warning("OPENAI_API_KEY is not set, using the demo provider")
    if settings.llm_provider == "demo" or not settings.openai_api_key:
        return DemoProvider(settings.demo_delay_ms / 1000)
    key, base_url = settings.openai_api_key.get_secret_value(), settings.openai_base_url

    def load() -> Provider:
        from .openai import OpenAIProvider  # noqa: PLC0415  (imports the SDK)

        return OpenAIProvider(key, base_url, settings.llm_read_timeout)

    return LazyProvider(load)
