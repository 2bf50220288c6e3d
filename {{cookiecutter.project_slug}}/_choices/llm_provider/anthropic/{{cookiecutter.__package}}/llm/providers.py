"""Choice of the model provider."""

import structlog

from ..core.provider_settings import ProviderSettings
from . import anthropic
from .demo import DemoProvider
from .demo_vendor import DemoVendor
from .http_provider import HttpProvider
from .provider import Provider, Upstream
from .vendor import Vendor

log = structlog.get_logger(__name__)


def make_provider(settings: ProviderSettings) -> Provider:
    """Return the configured provider, or the demo provider without a key. Production refuses to start without one."""
    if settings.llm_provider == "anthropic" and settings.anthropic_api_key:
        key, url = settings.anthropic_api_key.get_secret_value(), settings.anthropic_base_url or anthropic.DEFAULT_URL
        vendor = Vendor(url, key, {"x-api-key": key, **anthropic.HEADERS}, settings.llm_read_timeout)
        return HttpProvider(vendor, anthropic.PATH, anthropic.body_of, anthropic.items_of)
    if settings.llm_provider == "anthropic":
        log.warning("ANTHROPIC_API_KEY is not set, using the demo provider")
    return DemoProvider(settings.demo_delay_ms / 1000)


def make_upstream(provider: Provider) -> Upstream:
    """Return the vendor's own API, which the demo provider plays."""
    return provider.vendor if isinstance(provider, HttpProvider) else DemoVendor(provider)
