"""ASGI middleware that every request passes first, in both frameworks. It buffers no response."""

import asyncio
import json
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog
from structlog.contextvars import bound_contextvars

from ..core.config import Settings
from ..core.metrics import REQUESTS
from ..core.problems import Problem
from ..tenants.headers import Headers, values_of, with_bearer, without_secret
from .errors import PROVIDERS_API, body_of
from .providers_api import KEY_PATHS
from .proxies import note_untrusted
from .throttle import Throttle

log = structlog.get_logger(__name__)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 1024 * 1024
IDEMPOTENCY_KEY = b"idempotency-key"
MAX_CHUNKED = 50
"""Chunked bodies that are read at the same time: each takes up to its limit of memory."""

ANY_HOST = ("/healthz", "/readyz")
"""Load balancers ask by address."""

MAX_FAILURES = 240
FAILURES_COUNT_FOR_S = 60
"""Clients that send more than MAX_FAILURES invalid credentials in this time get 429 instead of 401."""

SECURITY_HEADERS = {
    b"content-security-policy": b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
}
CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST"],
    "allow_headers": [
        *("Authorization", "Content-Type", "Idempotency-Key", "traceparent"),
        *("X-Api-Key", "X-Budget-Fallback", "X-Tenant-ID"),
    ],
    "expose_headers": [
        *("X-Request-Id", "X-Budget-Remaining", "X-Budget-Cost", "X-Budget-Max-Tokens", "X-Budget-Fallback"),
        "Retry-After",
    ],
}
HTTPS_ONLY = {b"strict-transport-security": b"max-age=31536000"}
DOCS = "/docs"  # development only: Swagger UI comes from a CDN with an inline script

_TRACEPARENT = re.compile("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:]+)(?::\d+)?")


class Edge:
    """Adds a request ID and security headers, and refuses what no route should see.

    That is: unknown hosts, large bodies, too many guessed credentials and, while the process stops, everything.
    Sets `scope["state"]["request_id"]`, 32 hexadecimal digits, and `scope["state"]["sent_headers"]`: the headers with
    X-Gateway-Secret, which only `tenants.identity` may see.
    """

    def __init__(self, app: App, settings: Settings) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in settings.allowed_hosts)
        self._https_headers = {} if settings.development else HTTPS_ONLY
        self._max_v1_body_bytes = settings.max_v1_body_bytes
        self._failures = Throttle(MAX_FAILURES, FAILURES_COUNT_FOR_S)
        self._root = settings.root_path
        self._timeout = settings.request_timeout
        self._chunked = 0
        self._journal_dir = settings.cycles_journal_dir

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._note_proxy(scope)
        request_id = secrets.token_hex(16)
        scope = self._inner_scope(scope, request_id)
        headers = {b"x-request-id": request_id.encode()} | self._headers_for(scope)
        started = throttled = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started, throttled
            if message["type"] == "http.response.start":
                REQUESTS.labels(message["status"]).inc()
                throttled = message["status"] == 401 and self._failures.fail(address_of(scope))
                others = [self._outer(*each) for each in message["headers"] if each[0].lower() not in headers]
                message = {**message, "headers": [*others, *headers.items()]}
            if not throttled:
                started = True
                await send(message)

        try:
            self._check(scope)
            with bound_contextvars(request_id=request_id, **_trace(scope["headers"])):
                serve = self._serve_keyed if _is_keyed(scope) else self._app
                await serve(scope, await self._bounded(scope, receive), send_with_headers)
            if throttled:
                raise Problem("too_many_attempts")
        except Problem as problem:
            await _send_problem(problem, request_id, scope["path"], send_with_headers)
        except Exception:  # if the server saw it, it would close a connection that the client goes on using
            log.exception("request failed", request_id=request_id, path=scope["path"])
            if not started:
                await _send_problem(Problem("internal_error"), request_id, scope["path"], send_with_headers)

    def _inner_scope(self, scope: Scope, request_id: str) -> Scope:
        """Return the scope that the app sees."""
        method = "GET" if scope["method"] == "HEAD" else scope["method"]  # the server leaves out the body
        scope = {**scope, "method": method, "path": self._inner(scope["path"])}
        headers = scope["headers"]
        sent = with_bearer(headers, b"x-api-key") if scope["path"].startswith(KEY_PATHS) else headers
        scope.setdefault("state", {}).update(request_id=request_id, sent_headers=sent)
        scope["headers"] = without_secret(headers)
        return scope

    async def _serve_keyed(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope["state"]
        try:
            await state["idempotency"].serve(self._app, scope, receive, send)
        except Problem as problem:
            await _send_problem(problem, state["request_id"], scope["path"], send)

    def _note_proxy(self, scope: Scope) -> None:
        forwarded = _joined(scope["headers"], b"x-forwarded-for")
        if forwarded and address_of(scope) not in forwarded:  # the server would have replaced a trusted proxy's address
            note_untrusted(address_of(scope), self._journal_dir)

    def _headers_for(self, scope: Scope) -> dict[bytes, bytes]:
        path: str = scope["path"]
        headers = {} if path == DOCS else SECURITY_HEADERS
        if path.startswith(("/api/", PROVIDERS_API, "/dashboard")):
            headers = headers | {b"cache-control": b"no-store"}
        return headers | self._https_headers if scope["scheme"] == "https" else headers

    def _inner(self, path: str) -> str:
        """Return the path without ROOT_PATH. No route knows it."""
        return path.removeprefix(self._root) or "/" if f"{path}/".startswith(f"{self._root}/") else path

    def _outer(self, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        """Return a response header, with ROOT_PATH before the path of a redirect."""
        root = self._root.encode()
        outside = name.lower() != b"location" or not value.startswith(b"/") or value.startswith(root + b"/")
        return name, value if outside else root + value

    def _check(self, scope: Scope) -> None:
        """Raise Problem: shutting_down, or invalid_host unless the request names exactly one allowed host."""
        services = scope["state"].get("services")
        if services is not None and services.guard.tasks.stopping:
            raise Problem("shutting_down")
        if "*" not in self._hosts and scope["path"] not in ANY_HOST:
            host = _HOST.fullmatch(_joined(scope["headers"], b"host").lower())
            if host is None or host[1] not in self._hosts:
                raise Problem("invalid_host")

    async def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """Return a `receive` for at most as many bytes as the path allows, in REQUEST_TIMEOUT. Raise Problem too_large.

        A body of stated length is left for the framework to read. A chunked one is read here.
        """
        headers, is_providers = scope["headers"], scope["path"].startswith(PROVIDERS_API)
        limit = self._max_v1_body_bytes if is_providers else MAX_BODY_BYTES
        timely, length = _timely(receive, self._timeout), _joined(headers, b"content-length")
        if not values_of(headers, b"transfer-encoding"):  # the server holds a body to its stated length
            if int(length[:20] or 0) > limit:
                raise _too_large(limit)
            return timely
        if length:  # a proxy may have read it the other way
            raise Problem("ambiguous_length")
        if self._chunked >= MAX_CHUNKED:
            raise Problem("limit_exceeded")
        self._chunked += 1
        try:
            messages = [await read_body(timely, limit)]
        finally:
            self._chunked -= 1

        async def receive_buffered() -> Message:
            return messages.pop() if messages else await receive()

        return receive_buffered


async def read_body(receive: Receive, limit: int | None = None) -> Message:
    """Return the whole body in the last message, which is http.disconnect if the client left.

    Raise Problem too_large for more than `limit` bytes.
    """
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        if limit is not None and len(body) > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)  # absent if the client has disconnected
    return {**message, "body": bytes(body)}


def _timely(receive: Receive, seconds: float) -> Receive:
    """Return a `receive` that raises Problem invalid_request unless the body is complete in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    complete = False

    async def receive_in_time() -> Message:
        nonlocal complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise Problem("invalid_request", "The body did not arrive in time.") from None
        complete = not message.get("more_body", False)
        return message

    return receive_in_time


def address_of(scope: Scope) -> str:
    """Return the client's address. The server has applied FORWARDED_ALLOW_IPS."""
    client = scope.get("client")
    return client[0] if client else ""


def _is_keyed(scope: Scope) -> bool:
    is_paid = scope["path"].startswith(("/api/", "/v1/")) and scope["method"] == "POST"
    return is_paid and bool(values_of(scope["headers"], IDEMPOTENCY_KEY))


def _joined(headers: Headers, name: bytes) -> str:
    return b",".join(values_of(headers, name)).decode("latin-1")


def _trace(headers: Headers) -> dict[str, str]:
    """Return the caller's trace context (W3C), if valid: for the log and for Cycles."""
    sent = _joined(headers, b"traceparent")
    return {"traceparent": sent} if _TRACEPARENT.fullmatch(sent) else {}


def _too_large(limit: int) -> Problem:
    return Problem("too_large", f"The request body is larger than {limit:,} bytes.")


async def _send_problem(problem: Problem, request_id: str, path: str, send: Send) -> None:
    members, media_type = body_of(problem, request_id, path)
    body = json.dumps(members).encode()
    headers = {"content-type": media_type, "content-length": str(len(body)), **problem.headers}
    if problem.status == 400:
        headers["connection"] = "close"
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
