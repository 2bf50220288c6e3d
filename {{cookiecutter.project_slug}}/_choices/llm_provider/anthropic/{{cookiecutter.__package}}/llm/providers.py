"""Choice of the model provider."""

import structlog

from ..core.provider_settings import ProviderSettings
from .demo import DemoProvider
from .provider import Provider

log = structlog.get_logger(__name__)


def make_provider(settings: ProviderSettings) -> Provider:
    """Return the configured provider, or the demo provider without a key. Production refuses to start without one."""
    if settings.llm_provider == "anthropic" and settings.anthropic_api_key:
        from .anthropic import AnthropicProvider  # noqa: PLC0415  (the SDK takes 0.4 s to import)

        key = settings.anthropic_api_key.get_secret_value()
        return AnthropicProvider(key, settings.anthropic_base_url, settings.llm_read_timeout)
    if settings.llm_provider == "anthropic":
        log.warning("ANTHROPIC_API_KEY is not set, using the demo provider")
    return DemoProvider(settings.demo_delay_ms / 1000)
