"""Request bodies and queries of both planes, one per row.

The servers parse JSON with Jackson and its default coercions: text may hold a number, a number may stand for text,
a fraction is cut off, and blank text is null where a number is expected. Unknown members are refused.
"""

import json
import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic_core import PydanticUseDefault

from .clock import milliseconds

# In scope order.
LEVELS = ("tenant", "workspace", "app", "workflow", "agent", "toolset")
UNITS = ("USD_MICROCENTS", "TOKENS", "CREDITS", "RISK_POINTS")
INT64_MAX = 2**63 - 1
NUMBER = re.compile(r"[+-]?[0-9]+")


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


def row(title: str, base: Any = Body, **members: Any) -> Any:
    """Return the model with these members and those of `base`."""
    return create_model(title, __base__=base, **members)


def maybe(kind: Any, default: Any = None) -> Any:
    """Return the type of a member that may be missing or null."""
    return Annotated[kind | None, Field(default=default)]


def to_text(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, bool | int | float) else value


def to_integer(value: str) -> int | None:
    return int(value) if NUMBER.fullmatch(value.strip()) else None


def to_number(value: Any) -> Any:
    if isinstance(value, str):
        if not value.strip():
            raise PydanticUseDefault
        return to_integer(value)
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return int(value) if isinstance(value, float) and abs(value) <= INT64_MAX else value


def to_name(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def text(least: int = 0, most: int | None = None, pattern: str | None = None) -> Any:
    return Annotated[str, Field(min_length=least, max_length=most, pattern=pattern), BeforeValidator(to_text)]


def number(least: int = 0, most: int = 2**31 - 1) -> Any:
    return Annotated[int, Field(ge=least, le=most), BeforeValidator(to_number)]


def choice(*names: str) -> Any:
    return Annotated[str, Field(pattern=f"^({'|'.join(names)})$"), BeforeValidator(to_name)]


Text = Annotated[str, BeforeValidator(to_text)]
Text64 = Annotated[Text, Field(max_length=64)]
Text256 = Annotated[Text, Field(max_length=256)]
Tags = Annotated[list[Text64 | None], Field(max_length=10)]
Dimensions = Annotated[dict[str, Text256 | None], Field(max_length=16)]
Labels = Annotated[dict[str, Text | None], Field(max_length=32)]
UNIT, POLICY = choice(*UNITS), choice("REJECT", "ALLOW_IF_AVAILABLE", "ALLOW_WITH_OVERDRAFT")
FLAG, MOMENT = Annotated[bool, Field(strict=True)], maybe(Annotated[int, BeforeValidator(milliseconds)])
NAME, METADATA, TTL = text(1, 256, r"\S"), maybe(dict[str, Any]), maybe(number(1000, 86_400_000))
LEVEL, COUNT = maybe(text(1, 128, r"^[a-zA-Z0-9_.-]+$")), maybe(number())

Amount = row("Amount", unit=UNIT, amount=number(0, INT64_MAX))
Subject = row("Subject", **dict.fromkeys(LEVELS, LEVEL), dimensions=maybe(Dimensions))
Action = row("Action", kind=text(1, 64, r"\S"), name=NAME, tags=maybe(Tags))
COUNTS = {"tokens_input": COUNT, "tokens_output": COUNT, "latency_ms": COUNT}
Metrics = row("Metrics", **COUNTS, model_version=maybe(text(0, 128)), custom=METADATA)

Keyed = row("Keyed", idempotency_key=text(1, 256))
Decision = row("Decision", Keyed, subject=Subject, action=Action, estimate=Amount, metadata=METADATA)
LEASE = {"ttl_ms": TTL, "grace_period_ms": maybe(number(0, 60_000), 5000)}
Reservation = row("Reservation", Decision, **LEASE, overage_policy=maybe(POLICY), dry_run=maybe(FLAG, False))
Commit = row("Commit", Keyed, actual=Amount, metrics=maybe(Metrics), metadata=METADATA)
Release = row("Release", Keyed, reason=maybe(Text256))
Extension = row("Extension", Keyed, extend_by_ms=number(1, 86_400_000), metadata=METADATA)
CAUSE = {"subject": Subject, "action": Action, "client_time_ms": maybe(number(0, INT64_MAX))}
Event = row("Event", Commit, **CAUSE, overage_policy=maybe(POLICY))

LIMITS = {"default_reservation_ttl_ms": TTL, "max_reservation_ttl_ms": TTL, "metadata": maybe(Labels)}
LIMITS |= {"max_reservation_extensions": COUNT, "default_commit_overage_policy": maybe(POLICY)}
TENANT_STATUS, BUDGET_STATUS = choice("ACTIVE", "SUSPENDED", "CLOSED"), choice("ACTIVE", "FROZEN", "CLOSED")
TenantUpdate = row("TenantUpdate", **LIMITS, name=maybe(Text), status=maybe(TENANT_STATUS))
EXPIRY_POLICY = choice("AUTO_RELEASE", "MANUAL_CLEANUP", "GRACE_ONLY")
OPTIONS = {"parent_tenant_id": maybe(Text), "reservation_expiry_policy": maybe(EXPIRY_POLICY)}
TenantCreate = row("TenantCreate", **LIMITS, **OPTIONS, tenant_id=text(3, 64, r"^[a-z0-9-]+$"), name=NAME)
RIGHTS = {"permissions": maybe(list[Text]), "scope_filter": maybe(list[Text | None])}
ABOUT = {"description": maybe(text(0, 1024)), "metadata": METADATA}
KeyCreate = row("KeyCreate", tenant_id=text(1, None, r"\S"), name=NAME, expires_at=MOMENT, **RIGHTS, **ABOUT)
OVERDRAFT = {"overdraft_limit": maybe(Amount), "commit_overage_policy": maybe(POLICY)}
BudgetUpdate = row("BudgetUpdate", **OVERDRAFT, metadata=METADATA)
ROLLOVER_POLICY = choice("NONE", "CARRY_FORWARD", "CAP_AT_ALLOCATED")
PERIOD = {"period_start": MOMENT, "period_end": MOMENT, "rollover_policy": maybe(ROLLOVER_POLICY)}
PLACE = {"tenant_id": maybe(Text), "scope": text(1, None, r"\S"), "unit": UNIT}
BudgetCreate = row("BudgetCreate", BudgetUpdate, **PLACE, **PERIOD, allocated=Amount)
OPERATION = choice("CREDIT", "DEBIT", "RESET", "REPAY_DEBT", "RESET_SPENT")
BudgetTransition = row("BudgetTransition", reason=maybe(text(0, 512)), metadata=METADATA)
FUNDING = {"operation": OPERATION, "amount": Amount, "spent": maybe(Amount), "idempotency_key": maybe(text(1, 256))}
BudgetFund = row("BudgetFund", BudgetTransition, **FUNDING)

LIMIT = Annotated[int, Field(lt=2**31, default=50), BeforeValidator(lambda value: to_integer(value or "50"))]
Page = row("Page", BaseModel, limit=LIMIT, cursor=maybe(str), tenant_id=maybe(str), include_children=maybe(bool))
KeyList = row("KeyList", Page, status=maybe(choice("ACTIVE", "REVOKED", "EXPIRED")))
BudgetList = row("BudgetList", Page, unit=maybe(UNIT), status=maybe(BUDGET_STATUS), scope_prefix=maybe(str, ""))
STATE = {"status": maybe(choice("ACTIVE", "COMMITTED", "RELEASED", "EXPIRED")), "idempotency_key": maybe(str)}
ENDS = [f"{time}{end}" for time in ("", "expires_", "finalized_") for end in ("from", "to")]
ReservationList = row("ReservationList", BaseModel, **STATE, **dict.fromkeys(ENDS, MOMENT))
Place = row("Place", BaseModel, scope=Annotated[str, BeforeValidator(str.lower)], unit=UNIT, tenant_id=maybe(str))

CAPS = {"max_tokens": COUNT, "max_steps_remaining": COUNT, "cooldown_ms": COUNT}
Caps = row("Caps", **CAPS, tool_allowlist=maybe(list[Text]), tool_denylist=maybe(list[Text]))
CHANGE = {"is_over_limit": (bool, False), "caps": maybe(Caps), "status": (BUDGET_STATUS, "ACTIVE")}
LedgerChange = row("LedgerChange", scope=str, unit=(UNIT, "USD_MICROCENTS"), **CHANGE)
ClockChange = row("ClockChange", advance_ms=number(0, 10 * 366 * 24 * 3600 * 1000))
