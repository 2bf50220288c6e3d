"""Choice of the model provider."""

from ..core.provider_settings import ProviderSettings
from .demo import DemoProvider
from .provider import Provider


def make_provider(settings: ProviderSettings) -> Provider:
    """Return the configured provider."""
    return DemoProvider(settings.demo_delay_ms / 1000)
