"""A proxy between the app and Cycles that makes the faults networks make, and writes down every try."""

import asyncio
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

FAULTS = ("drop", "reset", "delay", "duplicate", "error", "malformed", "lost")
"""Those of a network that works, badly.

drop       the connection is closed before anything took effect
reset      the same, by RST
delay      it takes effect late
duplicate  it takes effect twice, the second answer is given
error      503, no effect
malformed  it takes effect, half of the answer comes
lost       it takes effect, then the connection is closed
hang       no effect and no answer, for as long as the app waits
outage     401 INTERNAL_ERROR, no effect: how the engine says that Redis is down
"""
PASS = "pass"
DELAY_S = 0.1


@dataclass
class Try:
    """One HTTP call of the app."""

    operation: str
    """reserve, commit, release, extend, event, decide; other GETs by their last segment."""
    of: str
    """Whose operation it is: the end user of a reserve, the id of the reservation of what follows."""
    tenant: str
    key: str
    fault: str = PASS
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None


class Proxy:
    """`choose` names the fault of each try; by default there is none."""

    def __init__(self, upstream: str, http: aiohttp.ClientSession) -> None:
        self._upstream = upstream
        self._http = http
        self._server: asyncio.Server | None = None
        self._handler = web.Server(self._handle, access_log=None, handler_cancellation=True)
        self._port = 0
        self.choose: Callable[[Try], str] = lambda _: PASS
        self.tries: list[Try] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def listen(self) -> None:
        """On the same port as before, if it has listened."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._handler, "127.0.0.1", self._port, backlog=1_000)
        self._port = self._server.sockets[0].getsockname()[1]

    async def go_down(self) -> None:
        """Refuse connections, and close those there are."""
        if self._server is not None:
            self._server.close()
        await self._handler.shutdown(0.1)

    def keys(self, *operations: str) -> dict[tuple[str, str], set[str]]:
        """The idempotency keys that each operation was tried with."""
        found: dict[tuple[str, str], set[str]] = {}
        for each in self.tries:
            if each.operation in operations:
                found.setdefault((each.operation, each.of), set()).add(each.key)
        return found

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        content = await request.read()
        each = _read(request, json.loads(content) if content else {})
        each.fault = self.choose(each)
        self.tries.append(each)
        try:
            return await self._answer(request, content, each.fault)
        finally:
            each.ended = time.monotonic()

    async def _answer(self, request: web.BaseRequest, content: bytes, fault: str) -> web.StreamResponse:
        match fault:
            case "drop" | "reset":
                return _cut(request, reset=fault == "reset")
            case "error":
                return web.json_response({"error": "UNAVAILABLE", "message": "no"}, status=503)
            case "outage":
                return web.json_response({"error": "UNAUTHORIZED", "message": "INTERNAL_ERROR"}, status=401)
            case "hang":
                await asyncio.sleep(60)
                return _cut(request)
            case "delay":
                await asyncio.sleep(DELAY_S)
            case "duplicate":
                await self._forward(request, content)
        status, body = await self._forward(request, content)
        if fault == "lost":
            return _cut(request)
        if fault == "malformed" and status < 300:
            body = body[: len(body) // 2]
        return web.Response(status=status, body=body, content_type="application/json")

    async def _forward(self, request: web.BaseRequest, content: bytes) -> tuple[int, bytes]:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in {"host", "connection"}}
        url = self._upstream + request.raw_path
        async with self._http.request(request.method, url, data=content, headers=headers) as answer:
            return answer.status, await answer.read()


def _cut(request: web.BaseRequest, *, reset: bool = False) -> web.Response:
    if request.transport is not None:
        if reset:
            connection = request.transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()  # goes nowhere


def _read(request: web.BaseRequest, body: dict[str, Any]) -> Try:
    subject = body.get("subject", {})
    parts = request.path.split("/")  # "", v1, reservations, id, commit
    key, tenant = body.get("idempotency_key", ""), subject.get("tenant", "")
    if len(parts) == 5 and parts[2] == "reservations":
        return Try(parts[4], parts[3], tenant, key)
    operation = {"/v1/reservations": "reserve", "/v1/events": "event"}.get(request.path, parts[-1])
    return Try(operation, subject.get("workflow") or "", tenant, key)


@asynccontextmanager
async def proxy_to(upstream: str) -> AsyncIterator[Proxy]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        proxy = Proxy(upstream, http)
        await proxy.listen()
        try:
            yield proxy
        finally:
            await proxy.go_down()
