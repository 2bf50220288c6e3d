"""Choice of the model provider."""

from ..core.logging import log
from ..core.provider_settings import ProviderSettings
from . import anthropic
from .demo import DemoVendor
from .http_provider import HttpProvider
from .provider import Provider
from .vendor import HttpVendor


def make_provider(settings: ProviderSettings) -> Provider:
    """Return the configured provider, or the demo provider without a key. Production refuses to start without one."""
    if settings.llm_provider == "anthropic" and settings.anthropic_api_key:
        key, url = settings.anthropic_api_key.get_secret_value(), settings.anthropic_base_url or anthropic.DEFAULT_URL
        headers = {"x-api-key": key, **anthropic.HEADERS}
        vendor = HttpVendor(url.rstrip("/") + "/v1", key, headers, settings.llm_read_timeout)
        return HttpProvider(vendor, anthropic.PATH, anthropic.body_of, anthropic.items_of)
    if settings.llm_provider == "anthropic":
        log.warning("ANTHROPIC_API_KEY is not set, using the demo provider")
    demo = DemoVendor(settings.demo_delay_ms / 1000)
    return HttpProvider(demo, anthropic.PATH, anthropic.body_of, anthropic.items_of, streams_all=False)
