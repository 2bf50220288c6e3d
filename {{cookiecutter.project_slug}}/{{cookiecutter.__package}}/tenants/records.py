"""What the registry knows, as plain values: the same for every database layer. Times are aware UTC."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Status = Literal["active", "suspended", "closed"]


def may_be_name(text: str) -> bool:
    """Whether a database can be asked for it: PostgreSQL refuses NUL, every driver what is no Unicode."""
    return text.isprintable()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A customer. `budget` and `overdraft` are what `tenants add` was asked for, in microcents.

    `sealed_key` is its Cycles key, encrypted by the Vault; empty until onboarding has stored one.
    `cycles_key_name` is what all its keys of this registry are called at Cycles: made at random before the
    first is minted, so that the keys of interrupted runs are found again, and no other registry's.
    `retire_at` is when all those keys but the current one can be revoked.
    """

    id: str
    name: str
    status: Status = "active"
    budget: int
    overdraft: int = 0
    sealed_key: str = ""
    cycles_key_id: str = ""
    cycles_key_name: str
    cycles_key_expires_at: datetime | None = None
    retire_at: datetime | None = None
    onboarded: bool = False
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """A caller's key. Only its SHA-256 is kept; `prefix` is enough of it to recognise it by."""

    id: str
    tenant: str
    name: str
    prefix: str
    digest: str
    created_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Adjustment:
    """A funding or reset that was asked for by reference or period: done once, for ever.

    `reference` is "fund:" and the operator's reference, or "reset:", the tenant and the period.
    `idempotency_key` goes to the engine, which keeps it for 24 h: made with the row, so that a later run
    repeats the same request.
    """

    reference: str
    tenant: str
    kind: Literal["fund", "reset"]
    amount: int
    idempotency_key: str
    created_at: datetime
    done_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    name: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, proven: the tenant whose budget pays."""

    tenant: str
