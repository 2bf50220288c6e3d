"""The admin plane: tenants, API keys and ledgers (Cycles facts, section 9)."""

import hashlib
import re
import secrets
import uuid
from dataclasses import replace
from datetime import datetime
from typing import Any

from . import ledger as ledgers
from .clock import instant
from .exchange import Answer, Call, Refusal, amount, fingerprint, invalid, present
from .ledger import Ledger
from .schemas import (
    LEVELS,
    Amount,
    BudgetCreate,
    BudgetFund,
    BudgetTransition,
    BudgetUpdate,
    KeyCreate,
    KeyUpdate,
    TenantCreate,
    TenantUpdate,
)
from .storage import Document, Store

DAY_MS = 24 * 3600 * 1000
KEY_LIFE_MS = 90 * DAY_MS
RUNTIME_PERMISSIONS = (
    "reservations:create",
    "reservations:commit",
    "reservations:release",
    "reservations:extend",
    "reservations:list",
    "balances:read",
)
PERMISSIONS = {
    *RUNTIME_PERMISSIONS,
    *(f"{thing}:{right}" for thing in ("budgets", "policies", "webhooks", "admin") for right in ("read", "write")),
    *(
        f"admin:{thing}:{right}"
        for thing in ("tenants", "budgets", "policies", "apikeys", "webhooks")
        for right in ("read", "write")
    ),
    "events:read",
    "admin:events:read",
    "admin:audit:read",
}
SCOPE_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")


def create_tenant(call: Call) -> Answer:
    """POST /v1/admin/tenants: 201; 200 with the stored one for the same id and name; 409 for another name."""
    request = call.parse(TenantCreate)
    known = call.store.tenant(request.tenant_id)
    if known:
        if known["name"] != request.name:
            raise Refusal(409, "DUPLICATE_RESOURCE", f"Tenant exists: {request.tenant_id}")
        return 200, known
    defaults = {
        "status": "ACTIVE",
        "created_at": instant(call.now),
        "default_commit_overage_policy": "ALLOW_IF_AVAILABLE",
        "default_reservation_ttl_ms": 60_000,
        "max_reservation_ttl_ms": 3_600_000,
        "max_reservation_extensions": 10,
    }
    tenant = defaults | request.model_dump(exclude_none=True)
    call.store.save_tenant(tenant)
    return 201, tenant


def get_tenant(call: Call, tenant_id: str) -> Answer:
    return 200, known_tenant(call, tenant_id)


def list_tenants(call: Call) -> Answer:
    limit = page_size(call)
    return 200, page("tenants", call.store.tenants(call.query.get("cursor", ""), limit + 1), limit, "tenant_id")


def update_tenant(call: Call, tenant_id: str) -> Answer:
    """PATCH /v1/admin/tenants/{id}. Closing is for ever: it revokes the keys and closes the ledgers."""
    request = call.parse(TenantUpdate)
    tenant = known_tenant(call, tenant_id)
    if request.status and tenant["status"] == "CLOSED":
        raise invalid("Cannot transition from CLOSED")
    tenant |= request.model_dump(exclude_none=True)
    tenant["updated_at"] = instant(call.now)
    if request.status in {"SUSPENDED", "CLOSED"}:
        tenant[f"{request.status.lower()}_at"] = instant(call.now)
    call.store.save_tenant(tenant)
    if request.status == "CLOSED":
        close(call, tenant_id)
    return 200, tenant


def close(call: Call, tenant_id: str) -> None:
    for key in call.store.keys(tenant_id):
        if key["status"] == "ACTIVE":
            call.store.save_key(revoked(call, key, "tenant_closed"))
    for ledger in call.store.ledgers(tenant_id):
        write_ledger(call, replace(ledger, status="CLOSED", reserved=0))
    call.store.detach(tenant_id)


def create_key(call: Call) -> Answer:
    """POST /v1/admin/api-keys: 201 with the secret, which is told only here."""
    request = call.parse(KeyCreate)
    check_permissions(request.permissions)
    require_active(call, request.tenant_id)
    secret = f"cyc_live_{secrets.token_urlsafe(24)}"
    expires = milliseconds(request.expires_at) if request.expires_at else call.now + KEY_LIFE_MS
    key = {
        "key_id": f"key_{str(uuid.uuid4())[:16]}",
        "tenant_id": request.tenant_id,
        "key_prefix": key_prefix(secret),
        "status": "ACTIVE",
        "created_at": instant(call.now),
        "expires_at": instant(expires),
        "name": request.name,
        "permissions": list(RUNTIME_PERMISSIONS) if request.permissions is None else request.permissions,
        **present(
            description=request.description, scope_filter=request.scope_filter, metadata=request.metadata
        ),
    }
    call.store.add_key(key, digest(secret))
    shown = ("key_id", "key_prefix", "tenant_id", "permissions", "created_at", "expires_at")
    return 201, {"key_secret": secret} | {name: key[name] for name in shown}


def list_keys(call: Call) -> Answer:
    if not call.query.get("tenant_id"):
        raise invalid("Missing required parameter: tenant_id")
    limit = page_size(call)
    found = call.store.keys(call.query["tenant_id"], call.query.get("cursor", ""), limit + 1)
    return 200, page("keys", found, limit, "key_id")


def update_key(call: Call, key_id: str) -> Answer:
    request = call.parse(KeyUpdate)
    key = known_key(call, key_id)
    if key["status"] == "REVOKED":
        raise Refusal(409, "INVALID_REQUEST", "Cannot modify a REVOKED key")
    check_permissions(request.permissions)
    key |= request.model_dump(exclude_none=True)
    call.store.save_key(key)
    return 200, key


def revoke_key(call: Call, key_id: str) -> Answer:
    key = known_key(call, key_id)
    if key["status"] == "REVOKED":
        raise Refusal(409, "KEY_REVOKED", f"API key already revoked: {key_id}")
    key = revoked(call, key, call.query.get("reason"))
    call.store.save_key(key)
    return 200, key


def create_budget(call: Call) -> Answer:
    """POST /v1/admin/budgets: a ledger. With the admin key the body names the tenant, with a tenant's key it must not."""
    request = call.parse(BudgetCreate)
    unit = request.unit.value
    for given in (request.allocated, request.overdraft_limit):
        check_unit(unit, given)
    segments = check_scope(request.scope)
    if call.tenant is None and not (request.tenant_id or "").strip():
        raise invalid("tenant_id is required in the request body when using admin key authentication")
    if call.tenant is not None and request.tenant_id is not None:
        raise invalid("tenant_id MUST NOT be set when using API key authentication")
    tenant_id = call.tenant or request.tenant_id or ""
    if segments[0] != f"tenant:{tenant_id}":
        raise invalid(f"Scope '{request.scope}' does not match request tenant_id '{tenant_id}'")
    require_open(call, tenant_id)
    require_active(call, tenant_id)
    scope = request.scope.lower()
    if call.store.ledger(scope, unit):
        raise Refusal(409, "DUPLICATE_RESOURCE", f"Budget exists: {request.scope}")
    limit = request.overdraft_limit.amount if request.overdraft_limit else 0
    ledger = Ledger(tenant_id, scope, unit, request.allocated.amount, overdraft_limit=limit)
    document = {"ledger_id": str(uuid.uuid4()), "created_at": instant(call.now)} | present(
        commit_overage_policy=request.commit_overage_policy,
        rollover_policy=request.rollover_policy,
        period_start=request.period_start and instant(milliseconds(request.period_start)),
        period_end=request.period_end and instant(milliseconds(request.period_end)),
        metadata=request.metadata,
    )
    call.store.add_ledger(ledger, document)
    return 201, shown_ledger(ledger, document)


def list_budgets(call: Call) -> Answer:
    limit = page_size(call)
    tenant_id = call.tenant or call.query.get("tenant_id") or None
    scope, _, unit = call.query.get("cursor", "").partition("|")
    found = call.store.ledgers(tenant_id, (), (scope, unit), limit + 1)
    shown = [shown_ledger(each, call.store.ledger_document(each)) for each in found[:limit]]
    after = f"{found[limit - 1].scope}|{found[limit - 1].unit}" if len(found) > limit else None
    return 200, {"ledgers": shown, "has_more": after is not None} | present(next_cursor=after)


def get_budget(call: Call) -> Answer:
    """GET /v1/admin/budgets/lookup?scope&unit."""
    ledger = known_ledger(call)
    if call.tenant not in {None, ledger.tenant_id}:
        raise foreign_budget()
    return 200, shown_ledger(ledger, call.store.ledger_document(ledger))


def update_budget(call: Call) -> Answer:
    request = call.parse(BudgetUpdate)
    check_unit(call.unit(), request.overdraft_limit)
    require_open(call, owner(call))
    ledger = known_ledger(call)
    if ledger.status == "CLOSED":
        raise Refusal(409, "BUDGET_CLOSED", "Cannot update a CLOSED budget")
    if request.overdraft_limit:
        ledger = replace(ledger, overdraft_limit=request.overdraft_limit.amount)
    changes = request.model_dump(include={"commit_overage_policy", "metadata"}, exclude_none=True)
    return 200, write_ledger(call, ledgers.recompute(ledger), changes)


def fund_budget(call: Call) -> Answer:
    """POST /v1/admin/budgets/fund?scope&unit. The idempotency key is one space for all tenants, as on the server."""
    request = call.parse(BudgetFund)
    unit = call.unit()
    for given in (request.amount, request.spent):
        check_unit(unit, given)
    tenant_id = call.tenant or call.query.get("tenant_id", "").strip()
    if not tenant_id:
        raise invalid("tenant_id query parameter is required when using admin key authentication")
    require_open(call, tenant_id)
    key, payload = request.idempotency_key or "", fingerprint(request)
    if key.strip() and (replay := call.store.replay("fund", key, call.now)):
        if replay[0] != payload:
            raise Refusal(409, "IDEMPOTENCY_MISMATCH", "Idempotency key reused with different payload")
        return 200, replay[1]
    ledger = known_ledger(call, named=owner_scope(call))
    if ledger.tenant_id != tenant_id:
        raise foreign_budget()
    if ledger.status != "ACTIVE":
        raise Refusal(409, f"BUDGET_{ledger.status}", f"Budget is {ledger.status.lower()}: {ledger.scope}")
    try:
        spent = request.spent.amount if request.spent else 0
        after = ledgers.fund(ledger, request.operation, request.amount.amount, spent)
    except ledgers.Insufficient:
        raise Refusal(409, "BUDGET_EXCEEDED", f"Insufficient funds: {ledger.scope}") from None
    write_ledger(call, after)
    answer: Document = {"operation": request.operation, "timestamp": instant(call.now)}
    for name in ("allocated", "remaining", "debt", "spent"):
        answer[f"previous_{name}"] = amount(unit, getattr(ledger, name))
        answer[f"new_{name}"] = amount(unit, getattr(after, name))
    if key.strip():
        call.store.keep_replay("fund", key, payload, answer, call.now + DAY_MS)
    return 200, answer


def freeze_budget(call: Call) -> Answer:
    return transition(call, "ACTIVE", "FROZEN", "Budget is already frozen")


def unfreeze_budget(call: Call) -> Answer:
    return transition(call, "FROZEN", "ACTIVE", "Budget is not frozen")


def transition(call: Call, before: str, after: str, complaint: str) -> Answer:
    if call.body:
        call.parse(BudgetTransition)
    call.unit()
    require_open(call, owner(call))
    ledger = known_ledger(call)
    if ledger.status == "CLOSED":
        raise Refusal(409, "BUDGET_CLOSED", f"Budget is closed: {ledger.scope}")
    if ledger.status != before:
        raise Refusal(409, "INVALID_REQUEST", complaint)
    return 200, write_ledger(call, replace(ledger, status=after))


def authenticate(store: Store, secret: str, now: int) -> tuple[Document | None, str]:
    """(the key, "") or (None, why not): one of Cycles' reasons, which is the message of the 401."""
    found = store.key_by_prefix(key_prefix(secret))
    if found is None:
        return None, "KEY_NOT_FOUND"
    stored, key = found
    if key["status"] != "ACTIVE":
        return None, f"KEY_{key['status']}"
    if instant(now) > key["expires_at"]:
        return None, "KEY_EXPIRED"
    if not secrets.compare_digest(stored, digest(secret)):
        return None, "INVALID_KEY"
    tenant = store.tenant(key["tenant_id"])
    if tenant is None or tenant["status"] == "ACTIVE":
        return key, ""
    return None, f"TENANT_{tenant['status']}"


def key_prefix(secret: str) -> str:
    """The part of a secret by which it is found, and which may be shown."""
    return secret[: len("cyc_live_") + 8]


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def check_permissions(permissions: list[str] | None) -> None:
    for permission in permissions or ():
        if permission not in PERMISSIONS:
            raise invalid(f"Unrecognized permission: {permission}")


def check_unit(unit: str, given: Amount | None) -> None:
    if given and given.unit != unit:
        raise Refusal(400, "UNIT_MISMATCH", f"Unit mismatch: expected {unit} but got {given.unit.value}")


def check_scope(scope: str) -> list[str]:
    """The segments of a ledger's path, `tenant:...` first, in the order of the levels. Raises 400."""
    last = -1
    for segment in scope.split("/"):
        kind, _, name = segment.partition(":")
        position = LEVELS.index(kind) if kind in LEVELS else -1
        if position <= last or (last == -1 and position != 0) or not SCOPE_ID.fullmatch(name):
            raise invalid(f"scope segment '{segment}' is not valid")
        last = position
    return scope.split("/")


def known_tenant(call: Call, tenant_id: str) -> Document:
    tenant = call.store.tenant(tenant_id)
    if tenant is None:
        raise Refusal(404, "TENANT_NOT_FOUND", f"Tenant not found: {tenant_id}")
    return tenant


def require_open(call: Call, tenant_id: str) -> None:
    tenant = call.store.tenant(tenant_id)
    if tenant and tenant["status"] == "CLOSED":
        message = f"Tenant {tenant_id} is closed; owned objects are read-only"
        raise Refusal(409, "TENANT_CLOSED", message)


def require_active(call: Call, tenant_id: str) -> None:
    require_open(call, tenant_id)
    if known_tenant(call, tenant_id)["status"] != "ACTIVE":
        raise invalid(f"Tenant is not ACTIVE: {tenant_id}")


def known_key(call: Call, key_id: str) -> Document:
    key = call.store.key(key_id)
    if key is None:
        raise Refusal(404, "NOT_FOUND", f"API key not found: {key_id}")
    return key


def revoked(call: Call, key: Document, reason: str | None) -> Document:
    return key | {"status": "REVOKED", "revoked_at": instant(call.now)} | present(revoked_reason=reason or None)


def owner_scope(call: Call) -> str:
    if not call.query.get("scope"):
        raise invalid("Missing required parameter: scope")
    return call.query["scope"].lower()


def owner(call: Call) -> str:
    """The tenant of the path in the query."""
    return owner_scope(call).partition("/")[0].removeprefix("tenant:")


def known_ledger(call: Call, named: str | None = None) -> Ledger:
    """The ledger of the query's scope and unit. Raises 404; `named` is how its message calls the ledger."""
    scope, unit = owner_scope(call), call.unit()
    ledger = call.store.ledger(scope, unit)
    if ledger is None:
        name = named or f"{scope}:{unit}"
        raise Refusal(404, "BUDGET_NOT_FOUND", f"Budget not found for provided scope: {name}")
    return ledger


def foreign_budget() -> Refusal:
    return Refusal(403, "FORBIDDEN", "Budget does not belong to authenticated tenant")


def write_ledger(call: Call, ledger: Ledger, changes: Document | None = None) -> Document:
    """Save an admin's change, and show the ledger after it."""
    document = call.store.ledger_document(ledger) | (changes or {}) | {"updated_at": instant(call.now)}
    call.store.save_ledgers([ledger])
    call.store.save_ledger_document(ledger, document)
    return shown_ledger(ledger, document)


def shown_ledger(ledger: Ledger, document: Document) -> Document:
    names = ("allocated", "remaining", "reserved", "spent", "debt", "overdraft_limit")
    amounts = {name: amount(ledger.unit, getattr(ledger, name)) for name in names}
    about = {"tenant_id": ledger.tenant_id, "scope": ledger.scope, "unit": ledger.unit, "status": ledger.status}
    return document | about | amounts | {"is_over_limit": ledger.is_over_limit}


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def page_size(call: Call) -> int:
    try:
        return max(1, min(call.limit(), 100))
    except ValueError:
        raise invalid("Invalid value for parameter 'limit'") from None


def page(name: str, found: list[Document], limit: int, key: str) -> dict[str, Any]:
    """One page of a list that was read with one row more than `limit`."""
    more = len(found) > limit
    return {name: found[:limit], "has_more": more} | present(next_cursor=found[limit - 1][key] if more else None)
