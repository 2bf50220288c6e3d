"""What every request passes: pure ASGI, since a BaseHTTPMiddleware costs 0.2 ms and buffers streams."""

import uuid

from itsdangerous import TimestampSigner
from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.sessions import SessionMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .handlers import problem_response
from .problems import Problem

MOST_BODY_BYTES = 1024 * 1024

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
DOCS = "/docs"  # Swagger UI comes from a CDN with an inline script; it exists in development only


class Edge:
    """Names the request, turns away foreign hosts and too large bodies, adds the headers that every answer has."""

    def __init__(self, app: ASGIApp, allowed_hosts: list[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = str(uuid.uuid4())
        scope["state"]["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                if scope["path"] != DOCS:
                    headers.update(SECURITY_HEADERS)
            await send(message)

        received = 0

        async def receive_bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MOST_BODY_BYTES:
                raise HTTPException(413)  # FastAPI lets no other exception through from here
            return message

        app: ASGIApp = self._app
        if (problem := self._refusal(Headers(scope=scope))) is not None:
            app = problem_response(problem, request_id)
        await app(scope, receive_bounded, send_with_headers)

    def _refusal(self, headers: Headers) -> Problem | None:
        host = headers.get("host", "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if "*" not in self._hosts and name not in self._hosts:
            return Problem("invalid_host")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > MOST_BODY_BYTES:
            return Problem("too_large")
        return None


class Sessions(SessionMiddleware):
    """Starlette's sessions, signed with the newest of `secrets` and accepting them all."""

    def __init__(self, app: ASGIApp, secrets: list[SecretStr], *, https_only: bool) -> None:
        super().__init__(app, secret_key="", https_only=https_only, same_site="lax")
        self.signer = TimestampSigner([secret.get_secret_value() for secret in reversed(secrets)])
