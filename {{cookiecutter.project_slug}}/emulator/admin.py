"""The admin plane: tenants, API keys and ledgers (Cycles facts, section 9)."""

import hashlib
import re
import secrets
import uuid
from dataclasses import replace
from typing import Any

from . import ledger as ledgers
from . import schemas
from .clock import DAY_MS, instant
from .exchange import Answer, Exchange, amounts, invalid
from .ledger import Ledger, Refused
from .schemas import LEVELS, UNITS
from .storage import Document

DEFAULT_PERMISSIONS = [f"reservations:{right}" for right in ("create", "commit", "release", "extend", "list")]
DEFAULT_PERMISSIONS += ["balances:read"]
READ_WRITE = ["budgets", "policies", "webhooks", "admin"]
READ_WRITE += [f"admin:{thing}" for thing in ("tenants", "budgets", "policies", "apikeys", "webhooks")]
PERMISSIONS = {f"{thing}:{right}" for thing in READ_WRITE for right in ("read", "write")}
PERMISSIONS |= {*DEFAULT_PERMISSIONS, "events:read", "admin:events:read", "admin:audit:read"}
SCOPE_ID = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?")
TENANT_DEFAULTS = {
    "status": "ACTIVE",
    "default_commit_overage_policy": "ALLOW_IF_AVAILABLE",
    "default_reservation_ttl_ms": 60_000,
    "max_reservation_ttl_ms": 3_600_000,
    "max_reservation_extensions": 10,
}


class Admin(Exchange):
    """The handlers. Ledgers are named by the query's scope and unit."""

    def create_tenant(self) -> Answer:
        """POST /v1/admin/tenants: 201; 200 with the stored one for the same id and name; 409 for another name."""
        request = self.parse(schemas.TenantCreate)
        if known := self.store.get("tenants", id=request.tenant_id):
            if known["name"] != request.name:
                raise Refused("DUPLICATE_RESOURCE", f"Tenant exists: {request.tenant_id}")
            return 200, known
        tenant = TENANT_DEFAULTS | {"created_at": instant(self.now)} | request.model_dump(exclude_none=True)
        self.store.save("tenants", tenant, id=request.tenant_id)
        return 201, tenant

    def get_tenant(self, tenant_id: str) -> Answer:
        tenant = self.store.get("tenants", id=tenant_id)
        if tenant is None:
            raise Refused("TENANT_NOT_FOUND", f"Tenant not found: {tenant_id}", 404)
        return 200, tenant

    def update_tenant(self, tenant_id: str) -> Answer:
        """PATCH /v1/admin/tenants/{id}. Closing is for ever: it revokes the keys and closes the ledgers."""
        request, (_, tenant) = self.parse(schemas.TenantUpdate), self.get_tenant(tenant_id)
        if request.status and tenant["status"] == "CLOSED":
            raise invalid("Cannot transition from CLOSED")
        tenant |= request.model_dump(exclude_none=True) | {"updated_at": instant(self.now)}
        if request.status in {"SUSPENDED", "CLOSED"}:
            tenant[f"{request.status.lower()}_at"] = instant(self.now)
        self.store.save("tenants", tenant, id=tenant_id)
        if request.status == "CLOSED":
            self.close(tenant_id)
        return 200, tenant

    def close(self, tenant_id: str) -> None:
        for key in self.store.find("api_keys", "tenant = ?", tenant_id):
            self.save_key(key | {"status": "REVOKED", "revoked_reason": "tenant_closed"})
        for document in self.store.find("ledgers", "tenant = ?", tenant_id):
            self.write(replace(Ledger(**document), status="CLOSED", reserved=0))
        for hold in self.store.holds("tenant = ? AND status = 'ACTIVE'", tenant_id):
            hold.budgeted = []  # the ledgers have their holds back already
            self.store.save_hold(hold)

    def create_key(self) -> Answer:
        """POST /v1/admin/api-keys: 201 with the secret, which is told only here."""
        request = self.parse(schemas.KeyCreate)
        if unknown := {*(request.permissions or ())} - PERMISSIONS:
            raise invalid(f"Unrecognized permission: {unknown}")
        self.check_tenant_active(request.tenant_id)
        prefix, secret, digest = key_parts(f"cyc_live_{secrets.token_urlsafe(24)}")
        expires = request.expires_at.timestamp() * 1000 if request.expires_at else self.now + 90 * DAY_MS
        shown = {
            "key_id": f"key_{str(uuid.uuid4())[:16]}",
            "tenant_id": request.tenant_id,
            "key_prefix": prefix,
        }
        shown |= {"created_at": instant(self.now), "expires_at": instant(int(expires))}
        shown["permissions"] = DEFAULT_PERMISSIONS if request.permissions is None else request.permissions
        more = request.model_dump(
            include={"name", "description", "scope_filter", "metadata"}, exclude_none=True
        )
        self.save_key(shown | more | {"status": "ACTIVE", "digest": digest})
        return 201, shown | {"key_secret": secret}

    def list_keys(self) -> Answer:
        found = self.store.find("api_keys", "tenant = ?", self.query.get("tenant_id"), order="id")
        return 200, {"keys": [shown_key(key) for key in found], "has_more": False}

    def revoke_key(self, key_id: str) -> Answer:
        key = self.store.get("api_keys", id=key_id)
        if key is None:
            raise Refused("NOT_FOUND", f"API key not found: {key_id}", 404)
        if key["status"] == "REVOKED":
            raise Refused("KEY_REVOKED", f"API key already revoked: {key_id}")
        key |= {"status": "REVOKED", "revoked_at": instant(self.now)}
        key |= {"revoked_reason": self.query["reason"]} if "reason" in self.query else {}
        self.save_key(key)
        return 200, shown_key(key)

    def save_key(self, key: Document) -> None:
        self.store.save("api_keys", key, id=key["key_id"], tenant=key["tenant_id"], prefix=key["key_prefix"])

    def create_budget(self) -> Answer:
        """POST /v1/admin/budgets. With the admin key the body names the tenant, with a tenant's key it must not."""
        request = self.parse(schemas.BudgetCreate)
        check_unit(request.unit, request.allocated, request.overdraft_limit)
        check_scope(request.scope)
        tenant_id = self.tenant or request.tenant_id
        if not tenant_id or (self.tenant and request.tenant_id):
            raise invalid("tenant_id goes with the admin key, and only with it")
        if request.scope.partition("/")[0] != f"tenant:{tenant_id}":
            raise invalid(f"Scope '{request.scope}' does not match request tenant_id '{tenant_id}'")
        self.check_tenant_active(tenant_id)
        scope, limit = request.scope.lower(), request.overdraft_limit.amount if request.overdraft_limit else 0
        if self.store.path([scope], request.unit):
            raise Refused("DUPLICATE_RESOURCE", f"Budget exists: {request.scope}")
        names = {"commit_overage_policy", "rollover_policy", "metadata", "period_start", "period_end"}
        about = {"ledger_id": str(uuid.uuid4()), "created_at": instant(self.now)}
        about |= request.model_dump(mode="json", include=names, exclude_none=True)
        ledger = Ledger(
            tenant_id, scope, request.unit, request.allocated.amount, overdraft_limit=limit, about=about
        )
        self.store.save_path([ledger])
        return 201, shown_ledger(ledger)

    def list_budgets(self) -> Answer:
        tenant_id = self.tenant or self.query.get("tenant_id")
        found = self.store.find("ledgers", "tenant = coalesce(?, tenant)", tenant_id, order="scope, unit")
        return 200, {"ledgers": [shown_ledger(Ledger(**document)) for document in found], "has_more": False}

    def update_budget(self) -> Answer:
        request, ledger = self.parse(schemas.BudgetUpdate), self.ledger()
        check_unit(ledger.unit, request.overdraft_limit)
        if ledger.status == "CLOSED":
            raise Refused("BUDGET_CLOSED", "Cannot update a CLOSED budget")
        limit = request.overdraft_limit.amount if request.overdraft_limit else ledger.overdraft_limit
        about = ledger.about | request.model_dump(
            include={"commit_overage_policy", "metadata"}, exclude_none=True
        )
        return 200, self.write(ledgers.set_limit(replace(ledger, about=about), limit))

    def fund_budget(self) -> Answer:
        """POST /v1/admin/budgets/fund. Idempotency keys are one space for all tenants, as on the server."""
        request, tenant_id = self.parse(schemas.BudgetFund), self.tenant or self.query.get("tenant_id")
        check_unit(self.query.get("unit"), request.amount, request.spent)
        if not tenant_id:
            raise invalid("tenant_id query parameter is required when using admin key authentication")

        def perform() -> tuple[Document, int]:
            before = self.ledger(name="{scope}")
            if before.tenant_id != tenant_id:
                raise Refused("FORBIDDEN", "Budget does not belong to authenticated tenant", 403)
            if before.status != "ACTIVE":
                raise Refused(f"BUDGET_{before.status}", f"Budget is {before.status.lower()}: {before.scope}")
            spent = request.spent.amount if request.spent else 0
            after = ledgers.fund(before, request.operation, request.amount.amount, spent)
            self.write(after)
            answer = {"operation": request.operation, "timestamp": instant(self.now)}
            for prefix, ledger in (("previous", before), ("new", after)):
                shown = amounts(ledger, ("allocated", "remaining", "debt", "spent"))
                answer |= {f"{prefix}_{name}": value for name, value in shown.items()}
            return answer, DAY_MS

        complaint = "Idempotency key reused with different payload"
        return 200, self.once("fund", request, perform, complaint) if request.idempotency_key else perform()[
            0
        ]

    def transition(self, verb: str) -> Answer:
        """POST /v1/admin/budgets/freeze and .../unfreeze."""
        ledger, after = self.ledger(), {"freeze": "FROZEN", "unfreeze": "ACTIVE"}[verb]
        if ledger.status == "CLOSED":
            raise Refused("BUDGET_CLOSED", f"Budget is closed: {ledger.scope}")
        if ledger.status == after:
            complaint = "Budget is already frozen" if after == "FROZEN" else "Budget is not frozen"
            raise Refused("INVALID_REQUEST", complaint)
        return 200, self.write(replace(ledger, status=after))

    def ledger(self, name: str = "{scope}:{unit}") -> Ledger:
        """The ledger of the query. Raises 404, whose message ends in `name`, and 409 when its tenant is closed."""
        scope, unit = self.query.get("scope", "").lower(), self.query.get("unit", "")
        if not scope or unit not in UNITS:
            raise invalid("Missing or invalid parameter: scope or unit")
        self.check_tenant_open(scope.partition("/")[0].removeprefix("tenant:"))
        for ledger in self.store.path([scope], unit):
            return ledger
        shown = name.format(scope=scope, unit=unit)
        raise Refused("BUDGET_NOT_FOUND", f"Budget not found for provided scope: {shown}", 404)

    def write(self, ledger: Ledger) -> Document:
        """Save an admin's change, and show the ledger after it."""
        ledger = replace(ledger, about=ledger.about | {"updated_at": instant(self.now)})
        self.store.save_path([ledger])
        return shown_ledger(ledger)

    def check_tenant_open(self, tenant_id: str) -> None:
        if (self.store.get("tenants", id=tenant_id) or {}).get("status") == "CLOSED":
            raise Refused("TENANT_CLOSED", f"Tenant {tenant_id} is closed; owned objects are read-only")

    def check_tenant_active(self, tenant_id: str) -> None:
        self.check_tenant_open(tenant_id)
        if self.get_tenant(tenant_id)[1]["status"] != "ACTIVE":
            raise invalid(f"Tenant is not ACTIVE: {tenant_id}")

    def authenticate(self, given: str) -> Document:
        """The key of a secret. Raises 401 with one of Cycles' reasons as its message."""
        prefix, _, digest = key_parts(given)
        key = self.store.get("api_keys", prefix=prefix) or {"status": "NOT_FOUND"}
        if key["status"] != "ACTIVE":
            raise Refused("UNAUTHORIZED", f"KEY_{key['status']}", 401)
        if instant(self.now) > key["expires_at"] or not secrets.compare_digest(key["digest"], digest):
            expired = instant(self.now) > key["expires_at"]
            raise Refused("UNAUTHORIZED", "KEY_EXPIRED" if expired else "INVALID_KEY", 401)
        status = self.get_tenant(key["tenant_id"])[1]["status"]
        if status != "ACTIVE":
            raise Refused("UNAUTHORIZED", f"TENANT_{status}", 401)
        return key


def key_parts(secret: str) -> tuple[str, str, str]:
    """(the part by which a secret is found and which may be shown, the secret, what is stored of it)."""
    return secret[:17], secret, hashlib.sha256(secret.encode()).hexdigest()


def shown_key(key: Document) -> Document:
    return {name: value for name, value in key.items() if name != "digest"}


def shown_ledger(ledger: Ledger) -> Document:
    plain = ("tenant_id", "scope", "unit", "status", "is_over_limit")
    numbers = amounts(ledger, ("allocated", "remaining", "reserved", "spent", "debt", "overdraft_limit"))
    return ledger.about | {name: getattr(ledger, name) for name in plain} | numbers


def check_unit(unit: str | None, *given: Any) -> None:
    for each in given:
        if each and each.unit != unit:
            raise Refused("UNIT_MISMATCH", f"Unit mismatch: expected {unit} but got {each.unit}", 400)


def check_scope(scope: str) -> None:
    """Raises 400 unless it is a path: `tenant:...` first, then levels in their order."""
    last = -1
    for segment in scope.split("/"):
        level, _, name = segment.partition(":")
        position = LEVELS.index(level) if level in LEVELS else -1
        if position <= last or (last < 0 < position) or not SCOPE_ID.fullmatch(name):
            raise invalid(f"scope segment '{segment}' is not valid")
        last = position
