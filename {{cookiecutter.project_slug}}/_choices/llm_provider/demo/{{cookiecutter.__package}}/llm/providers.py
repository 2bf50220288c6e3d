"""Choice of the model provider."""

from functools import partial

from ..core.provider_settings import ProviderSettings
from . import openai
from .demo import DemoVendor
from .http_provider import HttpProvider
from .provider import Provider


def make_provider(settings: ProviderSettings) -> Provider:
    """Return the configured provider."""
    body_of = partial(openai.body_of, limit_field="max_tokens", asks_usage=True)
    demo = DemoVendor(settings.demo_delay_ms / 1000)
    return HttpProvider(demo, openai.PATH, body_of, openai.items_of, streams_all=False)
