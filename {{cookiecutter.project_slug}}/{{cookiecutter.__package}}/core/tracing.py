"""OpenTelemetry: a trace of each request with its calls to Cycles, where the extra `otel` is installed.

It is set by OpenTelemetry's own variables (OTEL_*), in the environment itself, not in `.env`. Without
OTEL_EXPORTER_OTLP_ENDPOINT nothing of it is even imported.
"""

# ruff: noqa: PLC0415  (what may not be installed is imported where it is asked for)

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from threading import Thread
from typing import Any

import structlog

from .about import DISTRIBUTION

log = structlog.get_logger(__name__)

UNTRACED = ("/healthz", "/readyz", "/metrics")
FLUSH_S = 1.0
"""A collector that does not answer keeps no process from ending for longer."""


def asked_for() -> bool:
    """Whether the environment names a collector."""
    return bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))


@cache
def wanted() -> bool:
    """Whether the environment asks for traces, and what makes them is installed: a warning if it is not."""
    if not asked_for():
        return False
    try:
        version("opentelemetry-exporter-otlp-proto-http")
    except PackageNotFoundError:
        log.warning("OTEL_EXPORTER_OTLP_ENDPOINT is set, but the extra `otel` is not installed: nothing is traced")
        return False
    return True


@asynccontextmanager
async def tracing() -> AsyncIterator[None]:
    """Let what is traced in this process go to the collector, if it is wanted: once, while it serves."""
    if not wanted():
        yield
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.trace import set_tracer_provider

    os.environ.setdefault("OTEL_SERVICE_NAME", DISTRIBUTION)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    set_tracer_provider(provider)
    yield
    flushing = Thread(target=provider.shutdown, daemon=True)
    flushing.start()
    await asyncio.to_thread(flushing.join, FLUSH_S)


def traced(method: str, target: str, headers: dict[str, str]) -> AbstractContextManager[Any]:
    """The span of one call to Cycles, which `headers` then tell of; None where nothing is traced."""
    if not wanted() or target.startswith("/actuator/"):  # what readiness asks
        return nullcontext()
    return _call(method, target.partition("?")[0], headers)


@contextmanager
def _call(method: str, path: str, headers: dict[str, str]) -> Iterator[Any]:
    from opentelemetry.propagate import inject
    from opentelemetry.trace import SpanKind, get_tracer

    attributes = {"http.request.method": method, "url.path": path}
    with get_tracer(__name__).start_as_current_span(method, kind=SpanKind.CLIENT, attributes=attributes) as span:
        inject(headers)
        yield span
