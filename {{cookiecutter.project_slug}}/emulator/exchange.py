"""One HTTP request as the handlers see it; every plane is a class of handlers on top of it."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from .clock import Clock
from .faults import Fault
from .ledger import Ledger, Refused
from .storage import Document, Store

Answer = tuple[int, Any]
MISMATCH = "Provided idempotency does not match the stored one"


class Emulator:
    """What all requests share. The faults wait here, oldest first."""

    def __init__(self, store: Store, clock: Clock, admin_key: str) -> None:
        self.store, self.clock, self.admin_key = store, clock, admin_key
        self.faults: list[Fault] = []


class Exchange:
    """One request at the time `now` (ms) by the key of `tenant`; None stands for the admin key."""

    def __init__(self, emulator: Emulator, request: web.Request, body: bytes) -> None:
        self.emulator, self.store, self.now = emulator, emulator.store, emulator.clock.now_ms()
        self.method, self.path, self.query, self.headers = (
            request.method,
            request.path,
            request.query,
            request.headers,
        )
        self.body = body
        self.tenant: str | None = None

    def parse(self, model: Any) -> Any:
        """The body as `model`. Raises 500 for a wrong content type (sic), 400 for anything else that is wrong."""
        if self.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
            raise internal()
        try:
            request = model.model_validate_json(self.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise invalid(f"Validation failed: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        if self.headers.get("X-Idempotency-Key") not in {None, getattr(request, "idempotency_key", None)}:
            raise invalid("X-Idempotency-Key header does not match idempotency_key in request body")
        return request

    def once(
        self, space: str, request: Any, perform: Callable[[], tuple[Document, int]], complaint: str = MISMATCH
    ) -> Document:
        """perform()'s answer, kept for as many ms as it says; for a repeated key the answer of then. Raises 409."""
        key, digest = request.idempotency_key, fingerprint(request)
        for found in self.store.find(
            "replays", "space = ? AND key = ? AND until_ms > ?", space, key, self.now
        ):
            if found["digest"] != digest:
                raise Refused("IDEMPOTENCY_MISMATCH", complaint)
            return dict(found["answer"])
        answer, kept_ms = perform()
        record = {"digest": digest, "answer": answer}
        self.store.save("replays", record, space=space, key=key, until_ms=self.now + kept_ms)
        return answer


def fingerprint(request: Any) -> str:
    """What must be equal for a repeated idempotency key: the parsed body, so that defaults spelt out are equal."""
    return hashlib.sha256(request.model_dump_json().encode()).hexdigest()


def invalid(message: str) -> Refused:
    return Refused("INVALID_REQUEST", message, 400)


def internal(message: str = "Internal error") -> Refused:
    return Refused("INTERNAL_ERROR", message, 500)


def money(unit: str, amount: int) -> Document:
    return {"unit": unit, "amount": amount}


def amounts(ledger: Ledger, names: Iterable[str]) -> Document:
    return {name: money(ledger.unit, getattr(ledger, name)) for name in names}


def balance(ledger: Ledger) -> Document:
    """A ledger as the runtime shows it; debt, limit and flag only when there is something to say."""
    shown = {"scope": ledger.scope.rpartition("/")[2], "scope_path": ledger.scope}
    told = (name for name in ("debt", "overdraft_limit") if getattr(ledger, name))
    numbers = amounts(ledger, ("remaining", "reserved", "spent", "allocated", *told))
    return shown | numbers | ({"is_over_limit": True} if ledger.is_over_limit else {})


def present(**members: Any) -> Document:
    """The members that have a value: write answers carry no nulls."""
    return {name: value for name, value in members.items() if value is not None}
