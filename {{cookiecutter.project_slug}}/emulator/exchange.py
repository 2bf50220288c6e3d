"""A request as the handlers see it, and the answers they give."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from .ledger import Ledger
from .schemas import Keyed, Unit
from .storage import Document, Store

Answer = tuple[int, Document]
Model = TypeVar("Model", bound=BaseModel)


class Refusal(Exception):
    """An error answer: HTTP status, Cycles error code, message, and the details if the server gives any."""

    def __init__(self, status: int, error: str, message: str, details: Document | None = None) -> None:
        super().__init__(message)
        self.status, self.error, self.message, self.details = status, error, message, details


def invalid(message: str) -> Refusal:
    return Refusal(400, "INVALID_REQUEST", message)


def internal(message: str = "Internal error") -> Refusal:
    return Refusal(500, "INTERNAL_ERROR", message)


@dataclass(slots=True)
class Call:
    """One request. `now` is in ms; `tenant` is the caller's, None for the admin key."""

    store: Store
    now: int
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    tenant: str | None = None
    permissions: tuple[str, ...] = ()

    def parse(self, model: type[Model]) -> Model:
        """The body as `model`. Raises 500 for a wrong content type (sic), 400 for anything else that is wrong."""
        content_type = self.headers.get("Content-Type", "")
        if content_type.split(";")[0].strip().lower() != "application/json":
            raise internal()
        try:
            request = model.model_validate_json(self.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise invalid(f"Validation failed: {where}: {first['msg']}") from None
        if isinstance(request, Keyed):
            header = self.headers.get("X-Idempotency-Key", request.idempotency_key)
            if header != request.idempotency_key:
                raise invalid("X-Idempotency-Key header does not match idempotency_key in request body")
        return request

    def limit(self, default: int = 50) -> int:
        """The page size asked for, unchecked. Raises ValueError if it is no number."""
        return int(self.query.get("limit") or default)

    def unit(self) -> str:
        try:
            return Unit(self.query.get("unit", "")).value
        except ValueError:
            raise invalid("Invalid value for parameter 'unit'") from None


def fingerprint(request: BaseModel) -> str:
    """What must be equal for a repeated idempotency key: the parsed body, so that defaults spelt out are equal."""
    return hashlib.sha256(request.model_dump_json().encode()).hexdigest()


def amount(unit: str, value: int) -> Document:
    return {"unit": unit, "amount": value}


def balance(ledger: Ledger) -> Document:
    """A ledger as the runtime shows it; debt, limit and flag only when there is something to say."""
    shown: Document = {"scope": ledger.scope.rpartition("/")[2], "scope_path": ledger.scope}
    for name in ("remaining", "reserved", "spent", "allocated"):
        shown[name] = amount(ledger.unit, getattr(ledger, name))
    for name in ("debt", "overdraft_limit"):
        if value := getattr(ledger, name):
            shown[name] = amount(ledger.unit, value)
    return shown | ({"is_over_limit": True} if ledger.is_over_limit else {})


def present(**members: Any) -> Document:
    """The members that have a value: write answers carry no nulls."""
    return {name: value for name, value in members.items() if value is not None}
