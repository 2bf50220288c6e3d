"""What every request passes first, whatever the framework: plain ASGI, which buffers nothing."""

import json
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .problems import MEDIA_TYPE, Problem
from .tenants.headers import without_secret

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_BODY_BYTES = 1024 * 1024

SECURITY_HEADERS = {
    b"content-security-policy": b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
}
DOCS = "/docs"  # Swagger UI comes from a CDN with an inline script; it exists in development only


class Edge:
    """Names the request, turns away foreign hosts and too large bodies, adds the headers that every answer has.

    `scope["state"]["request_id"]` is the name, a UUID; `scope["state"]["sent_headers"]` are the headers with the
    gateway's secret, for the identity alone.
    """

    def __init__(self, app: App, allowed_hosts: list[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = str(uuid.uuid4())
        state = scope.setdefault("state", {})
        state["request_id"], state["sent_headers"] = request_id, scope["headers"]
        scope["headers"] = without_secret(scope["headers"])
        headers = {b"x-request-id": request_id.encode()} | (SECURITY_HEADERS if scope["path"] != DOCS else {})
        received = 0
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                theirs = [(name, value) for name, value in message["headers"] if name.lower() not in headers]
                message = {**message, "headers": [*theirs, *headers.items()]}
            await send(message)

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            # to the application it looks as if the client had left; the client gets its answer below
            return {"type": "http.disconnect"} if received > MOST_BODY_BYTES else message

        async def send_unless_too_large(message: Message) -> None:
            if started or received <= MOST_BODY_BYTES:
                await send_with_headers(message)

        refusal = self._refusal(dict(scope["headers"]))
        if refusal is None:
            await self._app(scope, receive_bounded, send_unless_too_large)
            if received > MOST_BODY_BYTES and not started:
                refusal = Problem("too_large")
        if refusal is not None:
            await _answer(refusal, request_id, send_with_headers)

    def _refusal(self, headers: dict[bytes, bytes]) -> Problem | None:
        host = headers.get(b"host", b"").decode("latin-1").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if "*" not in self._hosts and name not in self._hosts:
            return Problem("invalid_host")
        length = headers.get(b"content-length", b"").decode("latin-1")
        if length.isdecimal() and int(length[:20]) > MOST_BODY_BYTES:
            return Problem("too_large")
        return None


async def _answer(problem: Problem, request_id: str, send: Send) -> None:
    body = json.dumps(problem.body(request_id)).encode()
    headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **problem.headers}
    sent = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": sent})
    await send({"type": "http.response.body", "body": body})
