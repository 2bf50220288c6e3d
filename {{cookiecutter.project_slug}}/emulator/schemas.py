"""The request bodies of both planes, one a row.

Unknown members are refused, as on the servers. Types are strict: a number in a string is no number.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, create_model

# In the order in which they make a path.
LEVELS = ("tenant", "workspace", "app", "workflow", "agent", "toolset")
Unit = Literal["USD_MICROCENTS", "TOKENS", "CREDITS", "RISK_POINTS"]
UNITS: tuple[str, ...] = get_args(Unit)
Policy = Literal["REJECT", "ALLOW_IF_AVAILABLE", "ALLOW_WITH_OVERDRAFT"]
Text64 = Annotated[str, Field(max_length=64)]
Text256 = Annotated[str, Field(max_length=256)]
Tags = Annotated[list[Text64], Field(max_length=10)]
Dimensions = Annotated[dict[str, Text256], Field(max_length=16)]
Labels = Annotated[dict[str, str], Field(max_length=32)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


def row(title: str, base: Any = Body, **members: Any) -> Any:
    """The model of these members and those of `base`."""
    return create_model(title, __base__=base, **members)


def maybe(kind: Any, default: Any = None) -> Any:
    """A member that may be left out, or be null."""
    return Annotated[kind | None, Field(default=default)]


def text(least: int, most: int, pattern: str | None = None) -> Any:
    return Annotated[str, Field(min_length=least, max_length=most, pattern=pattern)]


def number(least: int = 0, most: int = 2**31 - 1) -> Any:
    return Annotated[int, Field(ge=least, le=most)]


NAME, METADATA, TTL = text(1, 256, r"\S"), maybe(dict[str, Any]), maybe(number(1000, 86_400_000))
LEVEL, COUNT, MOMENT = maybe(text(1, 128, r"^[a-zA-Z0-9_.-]+$")), maybe(number()), maybe(AwareDatetime)

Amount = row("Amount", unit=Unit, amount=number(0, 2**63 - 1))
Subject = row("Subject", **dict.fromkeys(LEVELS, LEVEL), dimensions=maybe(Dimensions))
Action = row("Action", kind=text(1, 64, r"\S"), name=NAME, tags=maybe(Tags))
COUNTS = {"tokens_input": COUNT, "tokens_output": COUNT, "latency_ms": COUNT}
Metrics = row("Metrics", **COUNTS, model_version=maybe(text(0, 128)), custom=METADATA)

Keyed = row("Keyed", idempotency_key=text(1, 256))
Decision = row("Decision", Keyed, subject=Subject, action=Action, estimate=Amount, metadata=METADATA)
LEASE = {"ttl_ms": TTL, "grace_period_ms": maybe(number(0, 60_000), 5000)}
Reservation = row("Reservation", Decision, **LEASE, overage_policy=maybe(Policy), dry_run=maybe(bool, False))
Commit = row("Commit", Keyed, actual=Amount, metrics=maybe(Metrics), metadata=METADATA)
Release = row("Release", Keyed, reason=maybe(Text256))
Extension = row("Extension", Keyed, extend_by_ms=number(1, 86_400_000), metadata=METADATA)
CAUSE = {"subject": Subject, "action": Action, "client_time_ms": maybe(int)}
Event = row("Event", Commit, **CAUSE, overage_policy=maybe(Policy))

LIMITS = {"default_reservation_ttl_ms": TTL, "max_reservation_ttl_ms": TTL, "metadata": maybe(Labels)}
LIMITS |= {"max_reservation_extensions": COUNT, "default_commit_overage_policy": maybe(Policy)}
Status = Literal["ACTIVE", "SUSPENDED", "CLOSED"]
TenantUpdate = row("TenantUpdate", **LIMITS, name=maybe(Text256), status=maybe(Status))
OPTIONS = {"parent_tenant_id": maybe(str), "reservation_expiry_policy": maybe(str)}
TenantCreate = row("TenantCreate", **LIMITS, **OPTIONS, tenant_id=text(3, 64, r"^[a-z0-9-]+$"), name=NAME)
RIGHTS = {"permissions": maybe(list[str]), "scope_filter": maybe(list[str]), "expires_at": MOMENT}
ABOUT = {"description": maybe(text(0, 1024)), "metadata": METADATA}
KeyCreate = row("KeyCreate", tenant_id=NAME, name=NAME, **RIGHTS, **ABOUT)
LIMIT = {"overdraft_limit": maybe(Amount), "commit_overage_policy": maybe(Policy)}
BudgetUpdate = row("BudgetUpdate", **LIMIT, metadata=METADATA)
PERIOD = {"period_start": MOMENT, "period_end": MOMENT, "rollover_policy": maybe(str)}
PLACE = {"tenant_id": maybe(str), "scope": NAME, "unit": Unit}
BudgetCreate = row("BudgetCreate", BudgetUpdate, **PLACE, **PERIOD, allocated=Amount)
Operation = Literal["CREDIT", "DEBIT", "RESET", "RESET_SPENT", "REPAY_DEBT"]
NOTES = {"reason": maybe(text(0, 512)), "idempotency_key": maybe(Text256), "metadata": METADATA}
BudgetFund = row("BudgetFund", operation=Operation, amount=Amount, spent=maybe(Amount), **NOTES)

CAPS = {"max_tokens": COUNT, "max_steps_remaining": COUNT, "cooldown_ms": COUNT}
Caps = row("Caps", **CAPS, tool_allowlist=maybe(list[str]), tool_denylist=maybe(list[str]))
CHANGE = {"is_over_limit": (bool, False), "caps": maybe(Caps)}
CHANGE |= {"status": (Literal["ACTIVE", "FROZEN", "CLOSED"], "ACTIVE")}
LedgerChange = row("LedgerChange", scope=str, unit=(Unit, "USD_MICROCENTS"), **CHANGE)
ClockChange = row("ClockChange", advance_ms=number(0, 10 * 366 * 24 * 3600 * 1000))
