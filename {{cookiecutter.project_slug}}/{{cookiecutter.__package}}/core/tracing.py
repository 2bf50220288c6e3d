"""OpenTelemetry traces of requests and of their calls to Cycles. Needs the extra `otel`.

Set OpenTelemetry's standard variables (OTEL_*) in the environment; `.env` does not count.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib import import_module

import structlog

from .about import DISTRIBUTION

log = structlog.get_logger(__name__)

UNTRACED = ("/healthz", "/readyz", "/metrics")
DEFAULTS = {
    "OTEL_SERVICE_NAME": DISTRIBUTION,
    "OTEL_EXPORTER_OTLP_TIMEOUT": "2",  # seconds: bounds how long an exit waits for a collector
    "OTEL_PYTHON_AIOHTTP_CLIENT_EXCLUDED_URLS": "/actuator/",
}


@cache
def enabled() -> bool:
    """Return whether a collector is set and the extra installed."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return False
    try:
        import_module("opentelemetry.instrumentation.aiohttp_client")
    except ImportError:
        log.warning("not tracing: OTEL_EXPORTER_OTLP_ENDPOINT is set, but the extra `otel` is not installed")
        return False
    return True


@asynccontextmanager
async def tracing() -> AsyncIterator[None]:
    """Export traces while the process serves."""
    if not enabled():
        yield
        return
    # Not imported elsewhere: the extra may be missing.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.trace import set_tracer_provider  # noqa: PLC0415

    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    provider = TracerProvider(shutdown_on_exit=False)  # a signal may end the process without exit handlers
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    set_tracer_provider(provider)
    AioHttpClientInstrumentor().instrument()
    yield
    provider.shutdown()
