"""OpenTelemetry's collector sees one trace of a request and of its calls to Cycles, which are told of it.

test_generated.py puts this into projects that have their extra `otel`, as one more file of their tests/behaviour.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from ..listening import Quiet, listening
from ..running import PACKAGE, STARTED_WITH, App, Emulator, free_port, wait_until

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TOLD = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    content: bytes


@contextmanager
def noting(on_to: str = "") -> Iterator[tuple[str, list[Request]]]:
    """A server that notes what comes, and sends it `on_to` another: its address and its notes."""
    noted: list[Request] = []

    class Server(Quiet, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            noted.append(Request(self.path, headers, content))
            answer = httpx.request(self.command, on_to + self.path, content=content, headers=headers) if on_to else None
            body = answer.content if answer else b""
            self.send_response(answer.status_code if answer else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = pass_on  # noqa: N815

    with listening(Server) as address:
        yield address, noted


def spans_of(exported: list[Request]) -> list[Span]:
    """All that the collector was sent."""
    requests = [ExportTraceServiceRequest.FromString(request.content) for request in exported]
    return [
        span for request in requests for of in request.resource_spans for each in of.scope_spans for span in each.spans
    ]


@contextmanager
def serving(installed: App, **settings: str) -> Iterator[str]:
    """The app as docs/operations.md starts it with traces: its URL."""
    port = str(free_port())
    started = [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, "-m", PACKAGE, "serve"]
    otlp = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}
    otlp |= {"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    environment = {**STARTED_WITH, **installed.environment, **otlp, "PORT": port, **settings}
    with subprocess.Popen(started, cwd=installed.folder, env=environment) as running:
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: answers(url), 60)
            yield url
        finally:
            running.terminate()
            running.wait(15)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").is_success
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(("stream", "workers"), [(False, "1"), (True, "2")], ids=["plain", "streamed, two workers"])
def test_one_trace_has_the_request_and_its_calls_to_cycles_and_they_are_told_of_it(
    installed: App, emulator: Emulator, *, stream: bool, workers: str
) -> None:
    tenant = installed.add_tenant()
    with noting() as (collector, exported), noting(emulator.url) as (cycles, asked):
        settings = {"CYCLES_BASE_URL": cycles, "OTEL_EXPORTER_OTLP_ENDPOINT": collector, "WORKERS": workers}
        settings["OTEL_PYTHON_AIOHTTP_CLIENT_EXCLUDED_URLS"] = "/actuator/"
        with serving(installed, **settings) as url:
            for _ in range(2):  # the second may find its tenant's budget remembered
                body = {"prompt": "Hello", "stream": stream}
                answer = httpx.post(f"{url}/api/chat", json=body, headers={**tenant["headers"], **TOLD})
                assert answer.status_code == 200
            assert httpx.get(f"{url}/readyz").status_code == 200
            wait_until(lambda: emulator.live_holds(tenant["id"]) == 0)
        wait_until(lambda: spans_of(exported))  # what was not sent yet is sent at the end, within a moment
    spans = spans_of(exported)
    served = [span for span in spans if span.kind == Span.SPAN_KIND_SERVER]
    called = [span for span in spans if span.kind == Span.SPAN_KIND_CLIENT]
    assert [span.name for span in served] == ["POST /api/chat"] * 2
    assert {(span.trace_id.hex(), span.parent_span_id.hex()) for span in served} == {(TRACE, PARENT)}
    # a worker that starts may repeat what another has just settled
    first = {(request.path, request.content or id(request)): request for request in reversed(asked)}.values()
    settled = [request for request in first if request.path.startswith("/v1/")]
    assert len([request for request in settled if request.path.endswith("/commit")]) == 2
    told = [request.headers["traceparent"] for request in settled]
    assert sorted(told) == sorted(f"00-{TRACE}-{span.span_id.hex()}-01" for span in called)
    known = {span.span_id for span in spans}
    assert {span.parent_span_id for span in called} <= known
    assert all("actuator" not in str(span.attributes) for span in spans)
    kept = [value for name, value in installed.environment.items() if name.endswith(("SECRET", "KEY", "TOKEN"))]
    kept += [value.rpartition(" ")[2] for name, value in tenant["headers"].items() if name != "X-Tenant-ID"]
    assert not any(secret.encode() in request.content for secret in kept for request in exported)
    assert not any(b"cyc_" in request.content for request in exported)


def test_a_collector_that_is_not_there_costs_nobody_anything(installed: App, acme: dict[str, str]) -> None:
    with serving(installed, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", APP_ENV="production") as url:
        answer = httpx.post(f"{url}/api/chat", json={"prompt": "Hello"}, headers=acme)
        assert answer.status_code == 200
