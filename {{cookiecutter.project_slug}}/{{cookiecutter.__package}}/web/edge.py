"""ASGI middleware that every request passes first, in both frameworks. It buffers no response."""

import json
import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from structlog.contextvars import bound_contextvars

from ..core.config import Settings
from ..core.logging import log
from ..core.metrics import REQUESTS
from ..core.problems import Problem
from ..tenants.headers import Headers, values_of, with_bearer, without_secret
from .errors import PROVIDERS_API, body_of
from .providers_api import KEY_PATHS
from .proxies import note_untrusted
from .throttle import Throttle

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 1024 * 1024
IDEMPOTENCY_KEY = b"idempotency-key"

API = ("/api/", PROVIDERS_API)
ANY_HOST = ("/healthz", "/readyz")
"""Load balancers ask by address."""

MAX_FAILURES = 240
FAILURES_COUNT_FOR_S = 60
"""Clients that send more than MAX_FAILURES invalid credentials in this time get 429 instead of 401."""

POLICY = b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
SECURITY_HEADERS = {
    b"content-security-policy": POLICY,
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
}
SDK = ("Arch", "Helper-Method", "Lang", "OS", "Package-Version", "Retry-Count", "Runtime", "Runtime-Version", "Timeout")
"""Ends of the headers X-Stainless-... that the providers' SDKs send, also from browsers."""
CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST"],
    "allow_headers": [
        *("Authorization", "Idempotency-Key", "traceparent", "User-Agent", "X-Api-Key", "X-Budget-Fallback"),
        *("X-Tenant-ID", "anthropic-beta", "anthropic-dangerous-direct-browser-access", "anthropic-version"),
        *(f"X-Stainless-{end}" for end in SDK),
    ],
    "expose_headers": [
        *("X-Request-Id", "X-Budget-Remaining", "X-Budget-Cost", "X-Budget-Max-Tokens", "X-Budget-Fallback"),
        "Retry-After",
    ],
}
HTTPS_ONLY = {b"strict-transport-security": b"max-age=31536000"}
DOCS_HEADERS = SECURITY_HEADERS | {b"content-security-policy": POLICY + b"; img-src 'self' data:"}
"""For /docs: the style sheet of Swagger UI contains its icons."""

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
        self._settings = settings
        self._failures = Throttle(MAX_FAILURES, FAILURES_COUNT_FOR_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._note_proxy(scope)
        request_id = secrets.token_hex(16)
        scope = self._inner_scope(scope, request_id)
        headers = {b"x-request-id": request_id.encode()} | self._headers_for(scope)
        refusals = list[Problem]()
        started = False

        async def send_on(message: Message) -> None:
            nonlocal started
            if message.get("status") == 401 and self._failures.fail(address_of(scope)):
                refusals.append(Problem("too_many_attempts"))
            if refusals:
                return
            if message["type"] == "http.response.start":
                started = True
                REQUESTS.labels(message["status"]).inc()
                others = [each for each in message["headers"] if each[0].lower() not in headers]
                message = {**message, "headers": [*others, *headers.items()]}
            await send(message)

        async def refuse(problem: Problem) -> None:
            refusals.clear()
            await _send_problem(problem, scope, send_on)

        try:
            with bound_contextvars(request_id=request_id, **_trace(scope["headers"])):
                await self._serve(scope, receive, send_on, refusals)
            if refusals:
                await refuse(refusals[0])
        except Exception:  # if the server saw it, it would close a connection that the client goes on using
            log.exception("request failed", request_id=request_id, path=scope["path"])
            if not started:
                await refuse(Problem("internal_error"))

    def _inner_scope(self, scope: Scope, request_id: str) -> Scope:
        """Return the scope that the app sees."""
        # some frameworks read methods in any case; the server leaves out the body of an answer to HEAD
        method = scope["method"].upper().replace("HEAD", "GET")
        scope = {**scope, "method": method, "path": self._inner(scope["path"])}
        headers = scope["headers"]
        sent = with_bearer(headers, b"x-api-key") if scope["path"].startswith(KEY_PATHS) else headers
        scope.setdefault("state", {}).update(request_id=request_id, sent_headers=sent)
        scope["headers"] = without_secret(headers)
        return scope

    async def _serve(self, scope: Scope, receive: Receive, send: Send, refusals: list[Problem]) -> None:
        """Let the app answer. Add to `refusals` what to send instead."""
        is_paid = scope["path"].startswith(API) and scope["method"] == "POST"
        try:
            self._check(scope)
            bounded = self._bounded(scope, receive, refusals)
            if is_paid and values_of(scope["headers"], IDEMPOTENCY_KEY):
                await scope["state"]["idempotency"].serve(self._app, scope, bounded, send)
            else:
                await self._app(scope, bounded, send)
        except Problem as problem:
            await _send_problem(problem, scope, send)

    def _note_proxy(self, scope: Scope) -> None:
        forwarded = _joined(scope["headers"], b"x-forwarded-for")
        if forwarded and address_of(scope) not in forwarded:  # the server would have replaced a trusted proxy's address
            note_untrusted(address_of(scope), self._settings.cycles_journal_dir)

    def _headers_for(self, scope: Scope) -> dict[bytes, bytes]:
        headers = DOCS_HEADERS if scope["path"] == "/docs" else SECURITY_HEADERS
        if scope["path"].startswith((*API, "/dashboard")):
            headers = headers | {b"cache-control": b"no-store"}
        is_public = scope["scheme"] == "https" and not self._settings.development
        return headers | HTTPS_ONLY if is_public else headers

    def _inner(self, path: str) -> str:
        """Return the path without ROOT_PATH. No route knows it."""
        root = self._settings.root_path
        return path.removeprefix(root) or "/" if f"{path}/".startswith(f"{root}/") else path

    def _check(self, scope: Scope) -> None:
        """Raise Problem: shutting_down, or invalid_host unless the request names exactly one allowed host."""
        services = scope["state"].get("services")
        if services is not None and services.guard.tasks.stopping:
            raise Problem("shutting_down")
        if "*" not in self._hosts and scope["path"] not in ANY_HOST:
            host = _HOST.fullmatch(_joined(scope["headers"], b"host").lower())
            if host is None or host[1] not in self._hosts:
                raise Problem("invalid_host")

    def _bounded(self, scope: Scope, receive: Receive, refusals: list[Problem]) -> Receive:
        """Return a `receive` that raises Problem too_large, and adds it to `refusals`, after what the path allows.

        Raise it at once if the request tells its size.
        """
        headers, is_providers = scope["headers"], scope["path"].startswith(PROVIDERS_API)
        limit = self._settings.max_v1_body_bytes if is_providers else MAX_BODY_BYTES
        too_large = Problem("too_large", f"The request body is larger than {limit:,} bytes.")
        length, size = _joined(headers, b"content-length"), 0
        if length and values_of(headers, b"transfer-encoding"):  # a proxy may have read it the other way
            raise Problem("ambiguous_length")
        if int(length[:20] or 0) > limit:
            raise too_large

        async def receive_bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size <= limit:
                return message
            refusals.append(too_large)  # frameworks answer what is raised here in their own way
            raise too_large

        return receive_bounded


def address_of(scope: Scope) -> str:
    """Return the client's address. The server has applied FORWARDED_ALLOW_IPS."""
    client = scope.get("client")
    return client[0] if client else ""


def _joined(headers: Headers, name: bytes) -> str:
    return b",".join(values_of(headers, name)).decode("latin-1")


def _trace(headers: Headers) -> dict[str, str]:
    """Return the caller's trace context (W3C), if valid: for the log and for Cycles."""
    sent = _joined(headers, b"traceparent")
    return {"traceparent": sent} if _TRACEPARENT.fullmatch(sent) else {}


async def _send_problem(problem: Problem, scope: Scope, send: Send) -> None:
    members, media_type = body_of(problem, scope["state"]["request_id"], scope["path"])
    body = json.dumps(members).encode()
    headers = {"content-type": media_type, "content-length": str(len(body)), **problem.headers}
    if problem.status == 400:
        headers["connection"] = "close"
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
