"""One HTTP request as the handlers see it; every plane is a class of handlers on top of it."""

import codecs
import hashlib
import json
import re
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
JSON_TYPE = re.compile(r"\s*application/([\w.-]+\+)?json\s*(;.*)?", re.IGNORECASE)
DECODER = json.JSONDecoder(parse_constant=int)  # which refuses NaN and Infinity
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
        self.charset = request.charset or "utf-8"
        self.path, self.query, self.headers, self.body = request.path, request.query, request.headers, body
        self.tenant: str | None = None
        planes = {"/v1/admin": "admin", "/_emulator/": "control"}
        self.plane = next((plane for prefix, plane in planes.items() if self.path.startswith(prefix)), "runtime")

    def document(self) -> Any:
        """Return the JSON body, None if there is none. Raises 500 (sic) for a wrong content type, 400 for bad JSON."""
        content_type = self.headers.get("Content-Type", "").strip()
        try:
            if (self.body or content_type) and not JSON_TYPE.fullmatch(content_type):
                raise LookupError(content_type)
            codecs.lookup(self.charset)
            text = self.body.decode(json.detect_encoding(self.body)).lstrip(" \t\r\n")
            return DECODER.raw_decode(text)[0] if self.body else None  # what follows the first value is ignored
        except LookupError:
            raise Refused(*INTERNAL) from None
        except (ValueError, RecursionError):
            raise invalid("Malformed request body") from None

    def parse(self, model: Any, *, optional: bool = False) -> Any:
        """Return the body as `model`, None if there is none and it is optional. Raises as document() and read()."""
        document = self.document()
        if document is None and optional:
            return None
        request = self.read(model, document)
        key = getattr(request, "idempotency_key", None)
        if self.plane == "runtime" and self.headers.get("X-Idempotency-Key", key) != key:
            raise invalid("X-Idempotency-Key header does not match idempotency_key in request body")
        return request

    def asked(self, model: Any, wrong: Refused | None = None) -> Any:
        """Return the query as `model`; most blank parameters count as missing. Raises `wrong`, else 400."""
        kept = {"limit", "scope", "status"}
        return self.read(model, {k: v for k, v in self.query.items() if v.strip() or k in kept}, wrong)

    def read(self, model: Any, given: Any, wrong: Refused | None = None) -> Any:
        """Return `given` as `model`. Raises `wrong`, else 400."""
        try:
            return model.model_validate(given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise wrong or invalid(f"Invalid {'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    def once(self, space: str, request: Any, perform: Kept, mismatch: str = MISMATCH) -> Document:
        """Return perform()'s answer, or the earlier one if the key was used before. Raises 409 for another payload."""
        key, digest = request.idempotency_key, fingerprint(request)
        if not key or (space == "fund" and not key.strip()):  # only a fund may have none
            return dict(perform()[0])
        for found in self.store.find("replays", "space = ? AND key = ? AND until_ms > ?", space, key, self.now):
            if found["digest"] != digest:
                raise Refused("IDEMPOTENCY_MISMATCH", mismatch)
            return dict(found["answer"])
        answer, kept_ms = perform()
        record = {"space": space, "key": key, "until_ms": self.now + kept_ms, "digest": digest}
        self.store.save("replays", record | {"answer": answer})
        return dict(answer)

    def open_tenant(self, tenant_id: str | None) -> Document:
        """Return the tenant, {} if there is none. Raises 409 once it is closed."""
        tenant = self.store.get("tenants", id=tenant_id) or {}
        if tenant.get("status") == "CLOSED":
            raise Refused("TENANT_CLOSED", f"Tenant {tenant_id} is closed; owned objects are read-only")
        return tenant


def fingerprint(request: Any) -> str:
    """Return what must be equal for a repeated idempotency key: a hash of the parsed body, defaults included."""
    return hashlib.sha256(request.model_dump_json().encode()).hexdigest()


def invalid(message: str) -> Refused:
    return Refused("INVALID_REQUEST", message, 400)


def money(unit: str, amount: int) -> Document:
    return {"unit": unit, "amount": amount}


def amounts(ledger: Ledger, names: Iterable[str]) -> Document:
    return {name: money(ledger.unit, getattr(ledger, name)) for name in names}


def balances(path: list[Ledger]) -> Document:
    """Return ledgers as the runtime shows them: debt, limit and flag only if they are set."""
    shown = []
    for each in path:
        told = (name for name in ("debt", "overdraft_limit") if getattr(each, name))
        numbers = amounts(each, ("remaining", "reserved", "spent", "allocated", *told))
        flag = {"is_over_limit": True} if each.is_over_limit else {}
        shown.append({"scope": each.scope.rpartition("/")[2], "scope_path": each.scope} | numbers | flag)
    return {"balances": shown}
