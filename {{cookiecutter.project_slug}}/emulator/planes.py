"""HTTP: which handler answers, who may call it, and what every answer carries (Cycles facts, sections 1, 2 and 8)."""

import asyncio
import contextlib
import json
import re
import secrets
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from . import VERSION, admin, reads, runtime
from .clock import Clock
from .control import Control, check_header, check_host
from .exchange import Answer, Call, Refusal, internal
from .faults import Fault, Faults
from .storage import Document, Store

SWEEP_SECONDS = 5
TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Route:
    """`access`: tenant (its key), dual (its key or the admin's), admin, or control. Permissions are the admin plane's."""

    method: str
    path: str
    handler: Callable[..., Answer]
    access: str
    operation: str = "read"
    permission: str = ""


RUNTIME = (
    Route("POST", "/v1/reservations", runtime.reserve, "tenant", "reserve"),
    Route("POST", "/v1/reservations/{}/commit", runtime.commit, "tenant", "commit"),
    Route("POST", "/v1/reservations/{}/release", runtime.release, "dual", "release"),
    Route("POST", "/v1/reservations/{}/extend", runtime.extend, "tenant", "extend"),
    Route("POST", "/v1/decide", runtime.decide, "tenant", "decide"),
    Route("POST", "/v1/events", runtime.event, "tenant", "event"),
    Route("GET", "/v1/balances", reads.balances, "tenant", "balances"),
    Route("GET", "/v1/reservations", reads.reservations, "dual"),
    Route("GET", "/v1/reservations/{}", reads.reservation, "dual"),
)
ADMIN = (
    Route("POST", "/v1/admin/tenants", admin.create_tenant, "admin"),
    Route("GET", "/v1/admin/tenants", admin.list_tenants, "admin"),
    Route("GET", "/v1/admin/tenants/{}", admin.get_tenant, "admin"),
    Route("PATCH", "/v1/admin/tenants/{}", admin.update_tenant, "admin"),
    Route("POST", "/v1/admin/api-keys", admin.create_key, "admin"),
    Route("GET", "/v1/admin/api-keys", admin.list_keys, "admin"),
    Route("PATCH", "/v1/admin/api-keys/{}", admin.update_key, "admin"),
    Route("DELETE", "/v1/admin/api-keys/{}", admin.revoke_key, "admin"),
    Route("POST", "/v1/admin/budgets", admin.create_budget, "dual", permission="budgets:write"),
    Route("GET", "/v1/admin/budgets", admin.list_budgets, "dual", permission="budgets:read"),
    Route("GET", "/v1/admin/budgets/lookup", admin.get_budget, "dual", permission="budgets:read"),
    Route("POST", "/v1/admin/budgets/fund", admin.fund_budget, "dual", permission="budgets:write"),
    Route("PATCH", "/v1/admin/budgets", admin.update_budget, "admin"),
    Route("POST", "/v1/admin/budgets/freeze", admin.freeze_budget, "admin"),
    Route("POST", "/v1/admin/budgets/unfreeze", admin.unfreeze_budget, "admin"),
)


def control_routes(control: Control) -> tuple[Route, ...]:
    return (
        Route("GET", "/_emulator/status", control.status, "anyone"),
        Route("GET", "/_emulator/snapshot", control.snapshot, "control"),
        Route("POST", "/_emulator/reset", control.reset, "control"),
        Route("POST", "/_emulator/clock", control.advance, "control"),
        Route("GET", "/_emulator/faults", control.list_faults, "control"),
        Route("POST", "/_emulator/faults", control.add_fault, "control"),
        Route("DELETE", "/_emulator/faults", control.clear_faults, "control"),
        Route("POST", "/_emulator/caps", control.set_caps, "control"),
        Route("POST", "/_emulator/over-limit", control.set_over_limit, "control"),
    )


class Planes:
    """The three planes over one store. Handlers are synchronous and each is one transaction, so calls never interleave."""

    def __init__(self, store: Store, clock: Clock, faults: Faults, admin_key: str) -> None:
        self.store, self.clock, self.faults, self.admin_key = store, clock, faults, admin_key
        routes = (*RUNTIME, *ADMIN, *control_routes(Control(clock, faults)))
        self.routes = [(re.compile(route.path.replace("{}", "([^/]+)")), route) for route in routes]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        call = Call(
            store=self.store,
            now=self.clock.now_ms(),
            method=request.method,
            path=request.path,
            query=request.query,
            headers=request.headers,
            body=await request.read(),
        )
        if call.path.startswith("/actuator/health/"):
            return self.health(call)
        route, ids = self.find(call)
        fault = self.faults.take(route.operation) if route in RUNTIME and route else None
        if fault and fault.kind == "drop_before":
            return cut(request)
        response = self.reply(call, route, ids, fault)
        if fault and fault.kind == "drop_after":
            return cut(request)
        if fault and fault.kind == "delay":
            await asyncio.sleep(fault.delay_ms / 1000)
        return response

    def find(self, call: Call) -> tuple[Route | None, tuple[str, ...]]:
        for pattern, route in self.routes:
            if route.method == call.method and (match := pattern.fullmatch(call.path)):
                return route, match.groups()
        return None, ()

    def reply(self, call: Call, route: Route | None, ids: tuple[str, ...], fault: Fault | None) -> web.Response:
        """Run the handler in a transaction and put its answer, or its refusal, into HTTP."""
        headers = {
            "X-Request-Id": str(uuid.uuid4()),
            "X-Cycles-Trace-Id": trace_id(call),
            "X-Cycles-Emulator": VERSION,
        }
        try:
            with self.store.transaction():
                self.authorize(call, route)
                if fault and fault.kind == "error":
                    raise internal()
                if fault and fault.kind == "unauthorized":
                    raise Refusal(401, "UNAUTHORIZED", "INTERNAL_ERROR")
                if route is None:
                    raise self.no_route(call)
                status, body = route.handler(call, *ids)
        except Refusal as refusal:
            status, body = refusal.status, error_body(refusal, headers)
        except Exception as error:  # noqa: BLE001 - the servers answer every surprise with this
            status, body = 500, error_body(internal(f"{type(error).__name__}: {error}"), headers)
        if call.path.startswith("/v1/") and not call.path.startswith("/v1/admin") and status != 401:
            headers |= {"X-RateLimit-Remaining": "-1", "X-RateLimit-Reset": "0"}
            if call.tenant is not None:
                headers["X-Cycles-Tenant"] = call.tenant
        if route and route.path == "/_emulator/status" and status == 200:
            return web.Response(text=body["text"], headers=headers)
        text = json.dumps(body)
        if fault and fault.kind == "malformed":
            text = text[: len(text) // 2]
        return web.Response(
            status=status, body=text.encode(), headers=headers | {"Content-Type": content_type(call, status)}
        )

    def authorize(self, call: Call, route: Route | None) -> None:
        """Who calls, into call.tenant. Raises 401 or 403; without a route the runtime still asks for a key."""
        access = route.access if route else "tenant"
        if call.path.startswith("/_emulator/"):
            check_host(call)
            if access != "anyone":
                check_header(call)
            return
        on_admin_plane = call.path.startswith("/v1/admin")
        if on_admin_plane and route is None:
            return
        admin_key = call.headers.get("X-Admin-API-Key", "").strip()
        secret = call.headers.get("X-Cycles-API-Key", "").strip()
        if access == "admin" or (access == "dual" and admin_key):
            self.check_admin_key(admin_key)
            return
        if not secret:
            message = "Missing X-Cycles-API-Key header" if on_admin_plane else "Missing API key"
            raise Refusal(401, "UNAUTHORIZED", message)
        key, reason = admin.authenticate(self.store, secret, call.now)
        if key is None and on_admin_plane:
            raise Refusal(403, "FORBIDDEN", f"Invalid API key: {reason}")
        if key is None:
            raise Refusal(401, "UNAUTHORIZED", reason)
        if route and route.permission and not permitted(route.permission, key["permissions"]):
            message = f"Insufficient permissions: requires {route.permission}"
            raise Refusal(403, "INSUFFICIENT_PERMISSIONS", message)
        call.tenant = key["tenant_id"]

    def check_admin_key(self, given: str) -> None:
        if not given:
            raise Refusal(401, "UNAUTHORIZED", "Missing X-Admin-API-Key header")
        if not secrets.compare_digest(given.encode(), self.admin_key.encode()):
            raise Refusal(401, "UNAUTHORIZED", "Invalid admin API key")

    def no_route(self, call: Call) -> Refusal:
        """Unknown paths and methods are 500 on the runtime (sic); the admin plane tells a wrong method by 405."""
        if call.path.startswith("/_emulator/"):
            return Refusal(404, "NOT_FOUND", f"No {call.method} {call.path} on the control plane")
        known = any(pattern.fullmatch(call.path) for pattern, _ in self.routes)
        if known and call.path.startswith("/v1/admin"):
            return Refusal(405, "INVALID_REQUEST", f"Request method '{call.method}' is not supported")
        return internal()

    def health(self, call: Call) -> web.Response:
        """The public probes. While an outage of Redis is played, readiness is 503 as on the real server."""
        up = not (call.path.endswith("/readiness") and self.faults.redis_is_down())
        body = json.dumps({"status": "UP" if up else "OUT_OF_SERVICE"}).encode()
        headers = {"Content-Type": "application/json", "X-Cycles-Emulator": VERSION}
        return web.Response(status=200 if up else 503, body=body, headers=headers)

    async def sweep(self, _app: web.Application) -> AsyncIterator[None]:
        """Expire reservations every five seconds, for as long as the application runs."""
        task = asyncio.create_task(self.sweep_for_ever())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            with self.store.transaction():
                runtime.sweep(self.store, self.clock.now_ms())


def application(planes: Planes) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", planes.answer)
    app.cleanup_ctx.append(planes.sweep)
    return app


def cut(request: web.Request) -> web.Response:
    """Close the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def permitted(needed: str, granted: list[str]) -> bool:
    right = needed.rpartition(":")[2]
    return not {needed, f"admin:{right}", f"admin:{needed}"}.isdisjoint(granted)


def error_body(refusal: Refusal, headers: dict[str, str]) -> Document:
    body: dict[str, Any] = {
        "error": refusal.error,
        "message": refusal.message,
        "request_id": headers["X-Request-Id"],
        "trace_id": headers["X-Cycles-Trace-Id"],
    }
    return body | ({"details": refusal.details} if refusal.details else {})


def content_type(call: Call, status: int) -> str:
    """The servers' 401s are written by other code than their other answers, and it shows."""
    if status != 401:
        return "application/json"
    charset = "ISO-8859-1" if call.path.startswith("/v1/admin") else "UTF-8"
    return f"application/json;charset={charset}"


def trace_id(call: Call) -> str:
    """The caller's trace, from a valid traceparent or else X-Cycles-Trace-Id, or a new one."""
    if match := TRACEPARENT.fullmatch(call.headers.get("traceparent", "")):
        return match[1]
    given = call.headers.get("X-Cycles-Trace-Id", "")
    return given if TRACE_ID.fullmatch(given) else uuid.uuid4().hex
