"""HTTP: which handler answers, who may call it, and what every answer carries."""

import asyncio
import json
import re
import secrets
import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import web

from . import VERSION
from .admin import Admin
from .control import Control
from .exchange import INTERNAL, Answer, Emulator
from .faults import REFUSALS, take
from .ledger import Refused
from .runtime import Runtime

ACCEPT_JSON = re.compile(r"\*/\*|application/(\*|json)")
TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
TRACE_ID = re.compile(r"(?!0{32})([0-9a-f]{32})")


class Call(Runtime, Admin, Control):
    """One request with the handlers of all planes."""


# Whose key a route takes: a tenant's, the admin's or either. On the admin plane a tenant's key needs a permission.
ROUTES: dict[str, tuple[str, Callable[..., Answer]]] = {
    "POST /v1/reservations": ("tenant", Call.reserve),
    "POST /v1/reservations/([^/]+)/commit": ("tenant", Call.commit),
    "POST /v1/reservations/([^/]+)/release": ("either", Call.release),
    "POST /v1/reservations/([^/]+)/extend": ("tenant", Call.extend),
    "POST /v1/decide": ("tenant", Call.decide),
    "POST /v1/events": ("tenant", Call.event),
    "GET /v1/balances": ("tenant", Call.balances),
    "GET /v1/reservations": ("either", Call.reservations),
    "GET /v1/reservations/([^/]+)": ("either", Call.reservation),
    "POST /v1/admin/tenants": ("admin", Call.create_tenant),
    "GET /v1/admin/tenants/([^/]+)": ("admin", Call.get_tenant),
    "PATCH /v1/admin/tenants/([^/]+)": ("admin", Call.update_tenant),
    "POST /v1/admin/api-keys": ("admin", Call.create_key),
    "GET /v1/admin/api-keys": ("admin", Call.list_keys),
    "DELETE /v1/admin/api-keys/([^/]+)": ("admin", Call.revoke_key),
    "POST /v1/admin/budgets": ("budgets:write", Call.create_budget),
    "GET /v1/admin/budgets": ("budgets:read", Call.list_budgets),
    "PATCH /v1/admin/budgets": ("admin", Call.update_budget),
    "POST /v1/admin/budgets/fund": ("budgets:write", Call.fund_budget),
    "POST /v1/admin/budgets/(freeze|unfreeze)": ("admin", Call.transition),
    "GET /actuator/health/(readiness|liveness)": ("nobody", Call.health),
    "GET /_emulator/snapshot": ("admin", Call.snapshot),
    "POST /_emulator/reset": ("admin", Call.reset),
    "POST /_emulator/clock": ("admin", Call.advance),
    "POST /_emulator/ledger": ("admin", Call.change_ledger),
    "(GET|POST|DELETE) /_emulator/faults": ("admin", Call.change_faults),
}
PATTERNS = [(re.compile(pattern), route) for pattern, route in ROUTES.items()]


def find(method: str, path: str, plane: str) -> tuple[str, Callable[..., Answer] | Refused, tuple[str, ...]]:
    """Return whose key a call takes, its handler or why there is none, and the arguments of the handler."""
    for pattern, (access, handler) in PATTERNS:
        if match := pattern.fullmatch(f"{'GET' if method == 'HEAD' else method} {path}"):
            return access, handler, match.groups()
    methods = [m for m in ("DELETE", "GET", "PATCH", "POST") if any(p.fullmatch(f"{m} {path}") for p, _ in PATTERNS)]
    if methods and plane == "admin":
        return "nobody", Refused("INVALID_REQUEST", f"Supported methods: {', '.join(methods)}", 405), tuple(methods)
    return "admin" if plane == "admin" else "tenant", Refused(*INTERNAL), ()  # 500 for unknown paths (sic)


class Planes:
    """All planes on one port. A handler is synchronous and one transaction, so calls never interleave."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a request, as the next fault for its operation wants."""
        call = Call(self.emulator, request, await request.read())
        access, handler, ids = find(request.method, call.path, call.plane)
        operation = getattr(handler, "__name__", "") if access in {"tenant", "either"} else ""
        fault = take(self.emulator.faults, operation) if operation else None
        kind = fault.kind if fault else None
        response = None if kind == "drop_before" else self.reply(call, access, handler, ids, kind)
        if fault and kind == "delay":
            await asyncio.sleep(fault.delay_ms / 1000)
        if (response is None or kind == "drop_after") and request.transport:
            request.transport.abort()
        return response or web.Response()

    def reply(self, call: Call, access: str, handler: Any, ids: Any, fault: str | None) -> web.Response:
        """Run the handler in a transaction. Return its answer or refusal as an HTTP response."""
        trace = TRACEPARENT.fullmatch(call.headers.get("traceparent", ""))
        trace = trace or TRACE_ID.fullmatch(call.headers.get("X-Cycles-Trace-Id", ""))
        names = {"request_id": str(uuid.uuid4()), "trace_id": trace[1] if trace else uuid.uuid4().hex}
        try:
            with self.emulator.store.transaction():
                self.authorize(call, access)
                if fault in REFUSALS:
                    raise Refused(*REFUSALS[fault])
                if isinstance(handler, Refused):
                    raise handler
                status, body = handler(call, *ids)
        except Exception as error:  # noqa: BLE001 - the servers answer every surprise with a 500
            refused = error if isinstance(error, Refused) else Refused("INTERNAL_ERROR", repr(error), 500)
            status, body = refused.status, {"error": refused.code, "message": refused.message}
            body |= {"details": refused.details} if refused.details else {}
        if "error" in body:
            body |= names
        text, content_type = json.dumps(body), "application/json"
        if call.plane != "control" and status != 401 and not ACCEPT_JSON.search(call.headers.get("Accept", "*/*")):
            status, text = 406 if call.plane == "admin" else 403, ""  # though the call has taken effect (sic)
        if fault == "malformed":
            text = text[: len(text) // 2]
        headers = {"X-Request-Id": names["request_id"], "X-Cycles-Trace-Id": names["trace_id"]}
        if call.plane == "runtime" and call.path.startswith("/v1/") and status != 401:
            headers |= {"X-RateLimit-Remaining": "-1", "X-RateLimit-Reset": "0"}
            headers |= {"X-Cycles-Tenant": call.tenant} if call.tenant else {}
        if status == 401:  # the servers write these by other code, and it shows
            content_type += ";charset=ISO-8859-1" if call.plane == "admin" else ";charset=UTF-8"
        headers |= {"Retry-After": "7"} if status == 429 else {"Allow": ", ".join(ids)} if status == 405 else {}
        headers |= {"Content-Type": content_type, "X-Cycles-Emulator": VERSION}
        return web.Response(status=status, body=text.encode(), headers=headers)

    def authorize(self, call: Call, access: str) -> None:
        """Set call.tenant to the tenant of the key. Raises 401 or 403."""
        admin_key, secret = call.headers.get("X-Admin-API-Key", ""), call.headers.get("X-Cycles-API-Key", "")
        if call.plane != "runtime":
            call.check_host()
        if access == "admin" or (access not in {"tenant", "nobody"} and admin_key):
            if not secrets.compare_digest(admin_key.encode(), self.emulator.admin_key.encode()):
                message = "Invalid admin API key" if admin_key.strip() else "Missing X-Admin-API-Key header"
                raise Refused("UNAUTHORIZED", message, 401)
        elif access != "nobody":
            if not secret.strip():
                message = "Missing X-Cycles-API-Key header" if call.plane == "admin" else "Missing API key"
                raise Refused("UNAUTHORIZED", message, 401)
            key = call.authenticate(secret)
            granting = {access, access.replace("budgets", "admin")}
            if ":" in access and granting.isdisjoint(key["permissions"]):
                raise Refused("INSUFFICIENT_PERMISSIONS", f"API key lacks required permission: {access}", 403)
            call.tenant = key["tenant_id"]
