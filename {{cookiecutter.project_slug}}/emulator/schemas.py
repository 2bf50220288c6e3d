"""The request bodies of both planes (Cycles facts, sections 1 and 9). Unknown members are refused, as the servers do."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

INT32_MAX, INT64_MAX = 2**31 - 1, 2**63 - 1


class Unit(StrEnum):
    """The units of the protocol, in its order."""

    USD_MICROCENTS = "USD_MICROCENTS"
    TOKENS = "TOKENS"
    CREDITS = "CREDITS"
    RISK_POINTS = "RISK_POINTS"


OveragePolicy = Literal["REJECT", "ALLOW_IF_AVAILABLE", "ALLOW_WITH_OVERDRAFT"]
Identifier = Annotated[str, StringConstraints(max_length=128, pattern=r"^[a-zA-Z0-9_.-]+$")]
IdempotencyKey = Annotated[str, Field(min_length=1, max_length=256)]
NotBlank = StringConstraints(pattern=r"\S")
Ttl = Annotated[int, Field(ge=1000, le=86_400_000)]
Count = Annotated[int, Field(ge=0, le=INT32_MAX)]
Metadata = dict[str, Any]


class Body(BaseModel):
    """Strict: a number in a string is no number."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Amount(Body):
    unit: Unit
    amount: int = Field(ge=0, le=INT64_MAX)


class Subject(Body):
    """Whose budget it is; the levels in the order in which they make a path."""

    tenant: Identifier | None = None
    workspace: Identifier | None = None
    app: Identifier | None = None
    workflow: Identifier | None = None
    agent: Identifier | None = None
    toolset: Identifier | None = None
    dimensions: Annotated[dict[str, Annotated[str, Field(max_length=256)]], Field(max_length=16)] | None = None


LEVELS = ("tenant", "workspace", "app", "workflow", "agent", "toolset")


class Action(Body):
    kind: Annotated[str, NotBlank, Field(max_length=64)]
    name: Annotated[str, NotBlank, Field(max_length=256)]
    tags: Annotated[list[Annotated[str, Field(max_length=64)]], Field(max_length=10)] | None = None


class Metrics(Body):
    tokens_input: Count | None = None
    tokens_output: Count | None = None
    latency_ms: Count | None = None
    model_version: Annotated[str, Field(max_length=128)] | None = None
    custom: Metadata | None = None


class Keyed(Body):
    """A runtime write; its idempotency key is mandatory."""

    idempotency_key: IdempotencyKey


class DecisionRequest(Keyed):
    subject: Subject
    action: Action
    estimate: Amount
    metadata: Metadata | None = None


class ReservationRequest(DecisionRequest):
    ttl_ms: Ttl | None = None
    grace_period_ms: Annotated[int, Field(ge=0, le=60_000)] | None = 5000
    overage_policy: OveragePolicy | None = None
    dry_run: bool | None = False


class CommitRequest(Keyed):
    actual: Amount
    metrics: Metrics | None = None
    metadata: Metadata | None = None


class ReleaseRequest(Keyed):
    reason: Annotated[str, Field(max_length=256)] | None = None


class ExtendRequest(Keyed):
    extend_by_ms: int = Field(ge=1, le=86_400_000)
    metadata: Metadata | None = None


class EventRequest(Keyed):
    subject: Subject
    action: Action
    actual: Amount
    overage_policy: OveragePolicy | None = None
    metrics: Metrics | None = None
    client_time_ms: int | None = None
    metadata: Metadata | None = None


class TenantSettings(Body):
    metadata: Annotated[dict[str, str], Field(max_length=32)] | None = None
    default_commit_overage_policy: OveragePolicy | None = None
    default_reservation_ttl_ms: Ttl | None = None
    max_reservation_ttl_ms: Ttl | None = None
    max_reservation_extensions: Count | None = None


class TenantCreate(TenantSettings):
    tenant_id: str = Field(pattern=r"^[a-z0-9-]+$", min_length=3, max_length=64)
    name: Annotated[str, NotBlank, Field(max_length=256)]
    parent_tenant_id: str | None = None
    reservation_expiry_policy: str | None = None


class TenantUpdate(TenantSettings):
    name: str | None = None
    status: Literal["ACTIVE", "SUSPENDED", "CLOSED"] | None = None


class KeyUpdate(Body):
    name: Annotated[str, Field(max_length=256)] | None = None
    description: Annotated[str, Field(max_length=1024)] | None = None
    permissions: list[str] | None = None
    scope_filter: list[str] | None = None
    metadata: Metadata | None = None


class KeyCreate(KeyUpdate):
    tenant_id: Annotated[str, NotBlank]
    name: Annotated[str, NotBlank, Field(max_length=256)]
    expires_at: AwareDatetime | None = None


class BudgetCreate(Body):
    tenant_id: str | None = None
    scope: Annotated[str, NotBlank]
    unit: Unit
    allocated: Amount
    overdraft_limit: Amount | None = None
    commit_overage_policy: OveragePolicy | None = None
    rollover_policy: Literal["NONE", "CARRY_FORWARD", "CAP_AT_ALLOCATED"] | None = None
    period_start: AwareDatetime | None = None
    period_end: AwareDatetime | None = None
    metadata: Metadata | None = None


class BudgetUpdate(Body):
    overdraft_limit: Amount | None = None
    commit_overage_policy: OveragePolicy | None = None
    metadata: Metadata | None = None


class BudgetFund(Body):
    operation: Literal["CREDIT", "DEBIT", "RESET", "RESET_SPENT", "REPAY_DEBT"]
    amount: Amount
    spent: Amount | None = None
    reason: Annotated[str, Field(max_length=512)] | None = None
    idempotency_key: Annotated[str, Field(max_length=256)] | None = None
    metadata: Metadata | None = None


class BudgetTransition(Body):
    reason: str | None = None


class Caps(Body):
    """What ALLOW_WITH_CAPS asks of the caller."""

    max_tokens: Count | None = None
    max_steps_remaining: Count | None = None
    tool_allowlist: list[str] | None = None
    tool_denylist: list[str] | None = None
    cooldown_ms: Count | None = None
