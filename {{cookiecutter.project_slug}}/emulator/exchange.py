"""One HTTP request as the handlers see it; every plane is a class of handlers on top of it."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from .clock import Clock
from .faults import Fault
from .ledger import Ledger, Refused
from .storage import Document, Store

Answer = tuple[int, Any]
Kept = Callable[[], tuple[Document, int]]  # makes an answer, and says for how many ms it is kept
INTERNAL = ("INTERNAL_ERROR", "Internal error", 500)
MISMATCH = "Provided idempotency does not match the stored one"


class Emulator:
    """What all requests share. The faults wait here, oldest first."""

    def __init__(self, data: Path, admin_key: str) -> None:
        self.store, self.admin_key, self.faults = Store(data), admin_key, list[Fault]()
        self.clock = Clock((self.store.get("clock", id=1) or {"offset_ms": 0})["offset_ms"])


class Exchange:
    """One request at the time `now` (ms) by the key of `tenant`; None stands for the admin key."""

    def __init__(self, emulator: Emulator, request: web.Request, body: bytes) -> None:
        self.emulator, self.store, self.now = emulator, emulator.store, emulator.clock.now_ms()
        self.path, self.query, self.headers, self.body = request.path, request.query, request.headers, body
        self.tenant: str | None = None
        planes = {"/v1/admin": "admin", "/v1/": "runtime", "/_emulator/": "control"}
        self.plane = next((plane for prefix, plane in planes.items() if self.path.startswith(prefix)), "none")

    def parse(self, model: Any) -> Any:
        """The body as `model`. Raises 500 for a wrong content type (sic), 400 for anything else that is wrong."""
        if self.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused(*INTERNAL)
        try:
            request = model.model_validate_json(self.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise invalid(f"Validation failed: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        if self.headers.get("X-Idempotency-Key") not in {None, getattr(request, "idempotency_key", None)}:
            raise invalid("X-Idempotency-Key header does not match idempotency_key in request body")
        return request

    def once(self, space: str, request: Any, perform: Kept, complaint: str = MISMATCH) -> Document:
        """perform()'s answer; for a key that was used before the answer of then. Raises 409 for another payload."""
        key, digest = request.idempotency_key, fingerprint(request)
        if not key:  # only a fund may have none
            return dict(perform()[0])
        for found in self.store.find("replays", "space = ? AND key = ? AND until_ms > ?", space, key, self.now):
            if found["digest"] != digest:
                raise Refused("IDEMPOTENCY_MISMATCH", complaint)
            return dict(found["answer"])
        answer, kept_ms = perform()
        record = {"space": space, "key": key, "until_ms": self.now + kept_ms, "digest": digest}
        self.store.save("replays", record | {"answer": answer})
        return dict(answer)

    def open_tenant(self, tenant_id: str | None) -> Document:
        """The tenant, {} if there is none. Raises 409 once it is closed."""
        tenant = self.store.get("tenants", id=tenant_id) or {}
        if tenant.get("status") == "CLOSED":
            raise Refused("TENANT_CLOSED", f"Tenant {tenant_id} is closed; owned objects are read-only")
        return tenant


def fingerprint(request: Any) -> str:
    """What must be equal for a repeated idempotency key: the parsed body, so that defaults spelt out are equal."""
    return hashlib.sha256(request.model_dump_json().encode()).hexdigest()


def invalid(message: str) -> Refused:
    return Refused("INVALID_REQUEST", message, 400)


def money(unit: str, amount: int) -> Document:
    return {"unit": unit, "amount": amount}


def amounts(ledger: Ledger, names: Iterable[str]) -> Document:
    return {name: money(ledger.unit, getattr(ledger, name)) for name in names}


def balances(path: list[Ledger]) -> Document:
    """Ledgers as the runtime shows them; debt, limit and flag only when there is something to say."""
    shown = []
    for each in path:
        told = (name for name in ("debt", "overdraft_limit") if getattr(each, name))
        numbers = amounts(each, ("remaining", "reserved", "spent", "allocated", *told))
        flag = {"is_over_limit": True} if each.is_over_limit else {}
        shown.append({"scope": each.scope.rpartition("/")[2], "scope_path": each.scope} | numbers | flag)
    return {"balances": shown}
