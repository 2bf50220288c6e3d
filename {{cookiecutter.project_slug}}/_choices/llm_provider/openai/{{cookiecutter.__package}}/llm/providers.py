"""Choice of the model provider."""

from functools import partial

from ..core.logging import log
from ..core.provider_settings import ProviderSettings
from . import openai
from .demo import DemoVendor
from .http_provider import HttpProvider
from .provider import Provider
from .vendor import HttpVendor

DEFAULT_URL = "https://api.openai.com/v1"


def make_provider(settings: ProviderSettings) -> Provider:
    """Return the configured provider, or the demo provider without a key. Production refuses to start without one."""
    asks_usage = settings.openai_stream_options
    body_of = partial(openai.body_of, limit_field=settings.openai_limit_field, asks_usage=asks_usage)
    if settings.llm_provider == "openai" and settings.openai_api_key:
        key, url = settings.openai_api_key.get_secret_value(), settings.openai_base_url or DEFAULT_URL
        vendor = HttpVendor(url, key, {"Authorization": f"Bearer {key}"}, settings.llm_read_timeout)
        return HttpProvider(vendor, openai.PATH, body_of, openai.items_of)
    if settings.llm_provider == "openai":
        log.warning("OPENAI_API_KEY is not set, using the demo provider")
    demo = DemoVendor(settings.demo_delay_ms / 1000)
    return HttpProvider(demo, openai.PATH, body_of, openai.items_of, streams_all=False)
