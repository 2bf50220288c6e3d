"""HTTP: which handler answers, who may call it, and what every answer carries (Cycles facts, sections 1, 2 and 8)."""

import asyncio
import contextlib
import json
import re
import secrets
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from aiohttp import web

from . import VERSION
from .admin import Admin
from .control import Control
from .exchange import Answer, Emulator, internal
from .faults import Fault, take
from .ledger import Refused
from .runtime import Runtime, sweep

SWEEP_SECONDS = 5
TRACE = re.compile(r"(?:00-)?(?!0{32})([0-9a-f]{32})(?:-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})?")


class Call(Runtime, Admin, Control):
    """One request with the handlers of all planes."""


class Route(NamedTuple):
    """`access`: by the key of a tenant, of the admin, or either; `right`: what a tenant's key needs besides."""

    pattern: str
    access: str
    handler: Callable[..., Answer]
    right: str = ""


ID = "([^/]{1,128})"
ROUTES = (
    Route("POST /v1/reservations", "tenant", Call.reserve),
    Route(f"POST /v1/reservations/{ID}/commit", "tenant", Call.commit),
    Route(f"POST /v1/reservations/{ID}/release", "either", Call.release),
    Route(f"POST /v1/reservations/{ID}/extend", "tenant", Call.extend),
    Route("POST /v1/decide", "tenant", Call.decide),
    Route("POST /v1/events", "tenant", Call.event),
    Route("GET /v1/balances", "tenant", Call.balances),
    Route("GET /v1/reservations", "either", Call.reservations),
    Route(f"GET /v1/reservations/{ID}", "either", Call.reservation),
    Route("POST /v1/admin/tenants", "admin", Call.create_tenant),
    Route(f"GET /v1/admin/tenants/{ID}", "admin", Call.get_tenant),
    Route(f"PATCH /v1/admin/tenants/{ID}", "admin", Call.update_tenant),
    Route("POST /v1/admin/api-keys", "admin", Call.create_key),
    Route("GET /v1/admin/api-keys", "admin", Call.list_keys),
    Route(f"DELETE /v1/admin/api-keys/{ID}", "admin", Call.revoke_key),
    Route("POST /v1/admin/budgets", "either", Call.create_budget, "write"),
    Route("GET /v1/admin/budgets", "either", Call.list_budgets, "read"),
    Route("PATCH /v1/admin/budgets", "admin", Call.update_budget),
    Route("POST /v1/admin/budgets/fund", "either", Call.fund_budget, "write"),
    Route("POST /v1/admin/budgets/(freeze|unfreeze)", "admin", Call.transition),
    Route("GET /_emulator/status", "anyone", Call.status),
    Route("GET /_emulator/snapshot", "control", Call.snapshot),
    Route("POST /_emulator/reset", "control", Call.reset),
    Route("POST /_emulator/clock", "control", Call.advance),
    Route("POST /_emulator/ledger", "control", Call.change_ledger),
    Route("POST /_emulator/faults", "control", Call.add_fault),
    Route("GET /_emulator/faults", "control", Call.list_faults),
    Route("DELETE /_emulator/faults", "control", Call.clear_faults),
)
PATTERNS = [(re.compile(route.pattern), route) for route in ROUTES]


class Planes:
    """The HTTP application. A handler is synchronous and one transaction, so calls never interleave."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.application = web.Application()
        self.application.router.add_get("/actuator/health/{probe:readiness|liveness}", self.health)
        self.application.router.add_route("*", "/{path:.*}", self.answer)
        self.application.cleanup_ctx.append(self.sweeping)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Everything but the probes: find the handler, and let a waiting fault have its way."""
        call = Call(self.emulator, request, await request.read())
        found = ((route, pattern.fullmatch(f"{call.method} {call.path}")) for pattern, route in PATTERNS)
        route, ids = next(((route, match.groups()) for route, match in found if match), (None, ()))
        runtime = route and call.path.startswith("/v1/") and not call.path.startswith("/v1/admin")
        fault = take(self.emulator.faults, route.handler.__name__) if route and runtime else None
        if fault and fault.kind == "drop_before":
            return cut(request)
        response = self.reply(call, route, ids, fault)
        if fault and fault.kind == "drop_after":
            return cut(request)
        if fault and fault.kind == "delay":
            await asyncio.sleep(fault.delay_ms / 1000)
        return response

    def reply(
        self, call: Call, route: Route | None, ids: tuple[str, ...], fault: Fault | None
    ) -> web.Response:
        """Run the handler in a transaction and put its answer, or why it refused, into HTTP."""
        names = {"request_id": str(uuid.uuid4()), "trace_id": trace_id(call)}
        body: Any
        try:
            with self.emulator.store.transaction():
                self.authorize(call, route)
                if fault and fault.kind == "unauthorized":
                    raise Refused("UNAUTHORIZED", "INTERNAL_ERROR", 401)
                if route is None or (fault and fault.kind == "error"):
                    raise internal()  # unknown paths and methods are 500 (sic)
                status, body = route.handler(call, *ids)
        except Exception as error:  # noqa: BLE001 - the servers answer every surprise with a 500
            refused = error if isinstance(error, Refused) else internal(f"{type(error).__name__}: {error}")
            status, body = refused.status, {"error": refused.code, "message": refused.message} | names
            body |= {"details": refused.details} if refused.details else {}
        text = body if isinstance(body, str) else json.dumps(body)
        if fault and fault.kind == "malformed":
            text = text[: len(text) // 2]
        headers = {"X-Request-Id": names["request_id"], "X-Cycles-Trace-Id": names["trace_id"]}
        headers |= {
            "X-Cycles-Emulator": VERSION,
            "Content-Type": "application/json" if text is not body else "text/plain",
        }
        on_admin_plane = call.path.startswith("/v1/admin")
        if status == 401:  # the servers write these by other code, and it shows
            headers["Content-Type"] += f";charset={'ISO-8859-1' if on_admin_plane else 'UTF-8'}"
        elif call.path.startswith("/v1/") and not on_admin_plane:
            headers |= {"X-RateLimit-Remaining": "-1", "X-RateLimit-Reset": "0"}
            headers |= {"X-Cycles-Tenant": call.tenant} if call.tenant else {}
        return web.Response(status=status, body=text.encode(), headers=headers)

    def authorize(self, call: Call, route: Route | None) -> None:
        """Who calls, into call.tenant. Raises 401 or 403; even without a route the runtime asks for a key."""
        access, on_admin_plane = route.access if route else "tenant", call.path.startswith("/v1/admin")
        admin_key, secret = call.headers.get("X-Admin-API-Key", ""), call.headers.get("X-Cycles-API-Key", "")
        if call.path.startswith("/_emulator/"):
            call.check_control(header=access != "anyone")
        elif access == "admin" or (access == "either" and admin_key):
            if not secrets.compare_digest(admin_key.encode(), self.emulator.admin_key.encode()):
                message = "Invalid admin API key" if admin_key.strip() else "Missing X-Admin-API-Key header"
                raise Refused("UNAUTHORIZED", message, 401)
        elif not secret.strip():
            message = "Missing X-Cycles-API-Key header" if on_admin_plane else "Missing API key"
            raise Refused("UNAUTHORIZED", message, 401)
        else:
            try:
                key = call.authenticate(secret)
            except Refused as refused:
                if on_admin_plane:
                    raise Refused("FORBIDDEN", f"Invalid API key: {refused.message}", 403) from None
                raise
            right = route.right if route else ""
            if right and not {f"budgets:{right}", f"admin:{right}", f"admin:budgets:{right}"} & {
                *key["permissions"]
            }:
                raise Refused("INSUFFICIENT_PERMISSIONS", f"Insufficient permissions: budgets:{right}", 403)
            call.tenant = key["tenant_id"]

    async def health(self, request: web.Request) -> web.Response:
        """The public probes. While an outage of Redis waits to be played, readiness is 503 as on the real server."""
        down = any(fault.kind == "unauthorized" for fault in self.emulator.faults)
        down = down and request.match_info["probe"] == "readiness"
        body = {"status": "OUT_OF_SERVICE" if down else "UP"}
        return web.json_response(body, status=503 if down else 200, headers={"X-Cycles-Emulator": VERSION})

    async def sweeping(self, _app: web.Application) -> AsyncIterator[None]:
        """Expire reservations every five seconds, for as long as the application runs."""

        async def for_ever() -> None:
            while True:
                await asyncio.sleep(SWEEP_SECONDS)
                with self.emulator.store.transaction():
                    sweep(self.emulator.store, self.emulator.clock.now_ms())

        task = asyncio.create_task(for_ever())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def cut(request: web.Request) -> web.Response:
    """Close the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def trace_id(call: Call) -> str:
    """The caller's trace, from a valid traceparent or else X-Cycles-Trace-Id, or a new one."""
    parent = call.headers.get("traceparent", "")
    given = (
        parent
        if parent.count("-") == 3 and TRACE.fullmatch(parent)
        else call.headers.get("X-Cycles-Trace-Id", "")
    )
    match = TRACE.fullmatch(given)
    return match[1] if match else uuid.uuid4().hex
