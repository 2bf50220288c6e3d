"""What every request passes first, whatever the framework: plain ASGI, which holds no answer back."""

import json
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from itertools import count
from typing import Any

import structlog
from cachetools import TTLCache
from structlog.contextvars import bound_contextvars

from ..core.config import Settings
from ..core.metrics import REQUESTS
from ..core.problems import MEDIA_TYPE, Problem
from ..tenants.headers import Headers, values_of, without_secret

log = structlog.get_logger(__name__)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY_BYTES = 1024 * 1024

MOST_FAILURES = 240
"""Refused identities that an address may send in FAILURES_COUNT_FOR_S before it is told to wait."""
FAILURES_COUNT_FOR_S = 60

SECURITY_HEADERS = {
    b"content-security-policy": b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
}
HTTPS_ONLY = {b"strict-transport-security": b"max-age=31536000"}
DOCS = "/docs"  # Swagger UI comes from a CDN with an inline script; it exists in development only

_TRACEPARENT = re.compile("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:]+)(?::\d+)?")


class Edge:
    """Names the request, and adds what every answer has.

    Turns away foreign hosts, bodies that are too large, addresses that go on guessing, and all once the process stops.

    `scope["state"]["request_id"]` is the name, 32 hexadecimal digits; `scope["state"]["sent_headers"]` are the headers
    with the gateway's secret, for the identity alone.
    """

    def __init__(self, app: App, settings: Settings) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in settings.allowed_hosts)
        self._https_headers = {} if settings.development else HTTPS_ONLY
        self._failures: TTLCache[str, count[int]] = TTLCache(10_000, FAILURES_COUNT_FOR_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(16)
        state = scope.setdefault("state", {})
        state["request_id"], state["sent_headers"] = request_id, scope["headers"]
        scope["headers"] = without_secret(scope["headers"])
        headers = {b"x-request-id": request_id.encode()} | self._headers_for(scope)
        guesses = started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal guesses, started
            if message["type"] == "http.response.start":
                REQUESTS.labels(message["status"]).inc()
                guesses = message["status"] == 401 and self._fails_too_often(scope)
                theirs = [(name, value) for name, value in message["headers"] if name.lower() not in headers]
                message = {**message, "headers": [*theirs, *headers.items()]}
            if not guesses:
                started = True
                await send(message)

        services = state.get("services")
        try:
            if services is not None and services.guard.tasks.stopping:
                raise Problem("shutting_down")
            self._check_host(scope["headers"])
            with bound_contextvars(request_id=request_id, **_trace(scope["headers"])):
                await self._app(scope, await _bounded(scope["headers"], receive), send_with_headers)
            if guesses:
                raise Problem("too_many_attempts")
        except Problem as problem:
            await _answer(problem, request_id, send_with_headers)
        except Exception:  # not on to the server: it would close the connection under the client's next request
            log.exception("request failed", request_id=request_id, path=scope["path"])
            if not started:
                await _answer(Problem("internal_error"), request_id, send_with_headers)

    def _headers_for(self, scope: Scope) -> dict[bytes, bytes]:
        path: str = scope["path"]
        headers = {} if path == DOCS else SECURITY_HEADERS
        if path.startswith("/api/"):
            headers = headers | {b"cache-control": b"no-store"}
        return headers | self._https_headers if scope["scheme"] == "https" else headers

    def _check_host(self, headers: Headers) -> None:
        """Raises Problem invalid_host unless one host is named, and is ours."""
        if "*" not in self._hosts:
            sent = b",".join(values_of(headers, b"host")).decode("latin-1").lower()
            host = _HOST.fullmatch(sent)
            if host is None or host[1] not in self._hosts:
                raise Problem("invalid_host")

    def _fails_too_often(self, scope: Scope) -> bool:
        """Count a refused identity. The address is the client's own: the server sees through FORWARDED_ALLOW_IPS."""
        address = scope["client"][0] if scope.get("client") else ""
        return next(self._failures.setdefault(address, count(1))) > MOST_FAILURES


def _trace(headers: Headers) -> dict[str, str]:
    """The caller's trace context (W3C), for the log and for Cycles; nothing where it sent none that is sound."""
    sent = b",".join(values_of(headers, b"traceparent")).decode("latin-1")
    return {"traceparent": sent} if _TRACEPARENT.fullmatch(sent) else {}


async def _bounded(headers: Headers, receive: Receive) -> Receive:
    """A `receive` that gives MOST_BODY_BYTES at most: a body of untold length (chunked) is read here already.

    Raises Problem too_large. The server holds a body to the length that it was told.
    """
    length = b"".join(values_of(headers, b"content-length"))
    if length.isdigit() and not values_of(headers, b"transfer-encoding"):
        if int(length[:20]) > MOST_BODY_BYTES:
            raise Problem("too_large")
        return receive
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MOST_BODY_BYTES:
            raise Problem("too_large")
        more = message.get("more_body", False)  # not if the client has left
    read = [{**message, "body": bytes(body)}]

    async def receive_after() -> Message:
        return read.pop() if read else await receive()

    return receive_after


async def _answer(problem: Problem, request_id: str, send: Send) -> None:
    body = json.dumps(problem.body(request_id)).encode()
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **problem.headers}
    sent = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": sent})
    await send({"type": "http.response.body", "body": body})
