"""Which provider serves, by the settings."""

from ..core.provider_settings import ProviderSettings
from .demo import DemoProvider
from .provider import Provider


def make_provider(settings: ProviderSettings) -> Provider:
    """The provider that serves."""
    return DemoProvider(settings.demo_delay_ms / 1000)
