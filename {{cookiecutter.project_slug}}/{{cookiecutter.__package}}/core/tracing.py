"""OpenTelemetry traces of requests and of their calls to Cycles, when started by `opentelemetry-instrument`."""

import sys
from typing import Any

UNTRACED = ("/healthz", "/readyz", "/metrics")
ENABLED = "opentelemetry.sdk.trace" in sys.modules


def flush() -> None:
    """Send the last spans: a signal may end the process without exit handlers."""
    if ENABLED:
        from opentelemetry.trace import get_tracer_provider  # noqa: PLC0415  (an optional extra)

        provider: Any = get_tracer_provider()
        provider.force_flush(2_000)  # milliseconds
