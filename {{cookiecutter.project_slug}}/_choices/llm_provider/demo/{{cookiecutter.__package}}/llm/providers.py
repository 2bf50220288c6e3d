"""Choice of the model provider."""

from ..core.provider_settings import ProviderSettings
from .demo import DemoProvider
from .demo_vendor import DemoVendor
from .provider import Provider, Upstream


def make_provider(settings: ProviderSettings) -> Provider:
    """Return the configured provider."""
    return DemoProvider(settings.demo_delay_ms / 1000)


def make_upstream(provider: Provider) -> Upstream:
    """Return the vendor's own API, which the demo provider plays."""
    return DemoVendor(provider)
