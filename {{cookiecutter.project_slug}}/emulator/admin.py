"""The admin plane: tenants, API keys and ledgers."""

import hashlib
import re
import secrets
import uuid
from dataclasses import replace
from typing import Any

from . import ledger as ledgers
from . import schemas
from .clock import DAY_MS, instant
from .exchange import INTERNAL, Answer, Exchange, amounts, invalid
from .ledger import Ledger, Refused
from .schemas import INT64_MAX, LEVELS
from .storage import Document

DEFAULT_PERMISSIONS = [f"reservations:{right}" for right in ("create", "commit", "release", "extend", "list")]
DEFAULT_PERMISSIONS += ["balances:read"]
PERMISSION = re.compile(
    "|".join(DEFAULT_PERMISSIONS) + "|(admin:)?(budgets|policies|webhooks):(read|write)|(admin:)?events:read"
    "|admin(:tenants|:apikeys)?:(read|write)|admin:audit:read"
)
ID = "[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?"
SCOPE = re.compile(f"tenant:({ID})" + "".join(f"(?:/{level}:{ID})?" for level in LEVELS[1:]))
DEFAULTS = {"default_commit_overage_policy": "ALLOW_IF_AVAILABLE", "default_reservation_ttl_ms": 60_000}
DEFAULTS |= {"max_reservation_ttl_ms": 3_600_000, "max_reservation_extensions": 10, "status": "ACTIVE"}


class Admin(Exchange):
    """The handlers. Ledgers are named by the query's scope and unit."""

    def create_tenant(self) -> Answer:
        """POST /v1/admin/tenants: 201; 200 with the stored one for the same id and name; 409 for another name."""
        request = self.parse(schemas.TenantCreate)
        if known := self.store.get("tenants", id=request.tenant_id):
            if known["name"] != request.name:
                raise Refused("DUPLICATE_RESOURCE", f"Tenant exists: {request.tenant_id}")
            return 200, known
        tenant = DEFAULTS | {"created_at": instant(self.now)} | request.model_dump(exclude_none=True)
        self.store.save("tenants", tenant)
        return 201, tenant

    def get_tenant(self, tenant_id: str) -> Answer:
        tenant = self.store.get("tenants", id=tenant_id)
        if tenant is None:
            raise Refused("TENANT_NOT_FOUND", f"Tenant not found: {tenant_id}", 404)
        return 200, tenant

    def update_tenant(self, tenant_id: str) -> Answer:
        """PATCH /v1/admin/tenants/{id}. Closing is for ever: it revokes the keys and closes the ledgers."""
        request, (_, tenant) = self.parse(schemas.TenantUpdate), self.get_tenant(tenant_id)
        if request.status in {"ACTIVE", "SUSPENDED"} and tenant["status"] == "CLOSED":
            raise invalid("Cannot transition from CLOSED")
        tenant |= request.model_dump(exclude_none=True) | {"updated_at": instant(self.now)}
        if request.status in {"SUSPENDED", "CLOSED"}:
            tenant[f"{request.status.lower()}_at"] = instant(self.now)
        self.store.save("tenants", tenant)
        if request.status == "CLOSED":
            self.close(tenant_id)
        return 200, tenant

    def close(self, tenant_id: str) -> None:
        for key in self.store.find("api_keys", "tenant = ?", tenant_id):
            key["shown"]["status"] = "REVOKED"
            self.store.save("api_keys", key)
        for document in self.store.find("ledgers", "tenant = ?", tenant_id):
            self.write(replace(Ledger(**document), status="CLOSED", reserved=0))
        for hold in self.store.holds("tenant = ? AND status = 'ACTIVE'", tenant_id):
            hold.budgeted = []  # the ledgers have their holds back already
            self.store.save("reservations", vars(hold))

    def create_key(self) -> Answer:
        """POST /v1/admin/api-keys: 201 with the secret, which is told only here."""
        request = self.parse(schemas.KeyCreate)
        for permission in request.permissions or ():
            if not PERMISSION.fullmatch(permission):
                raise invalid(f"Unrecognized permission: {permission}")
        self.require_active(request.tenant_id)
        secret = f"cyc_live_{secrets.token_urlsafe(24)}"
        expires = self.now + 90 * DAY_MS if request.expires_at is None else request.expires_at
        key: Document = {"key_id": f"key_{str(uuid.uuid4())[:16]}", "key_prefix": secret[:17]}
        key |= {"created_at": instant(self.now), "expires_at": instant(expires)}
        permissions = DEFAULT_PERMISSIONS if request.permissions is None else request.permissions
        key |= {"tenant_id": request.tenant_id, "permissions": permissions}
        more = request.model_dump(exclude={"permissions", "expires_at"}, exclude_none=True) | {"status": "ACTIVE"}
        self.store.save("api_keys", {"shown": key | more, "digest": hashlib.sha256(secret.encode()).hexdigest()})
        return 201, key | {"key_secret": secret}

    def list_keys(self) -> Answer:
        asked = self.asked(schemas.KeyList)
        where = "tenant = ?" if asked.tenant_id else "? IS NULL"
        found = self.store.find("api_keys", where, asked.tenant_id, order="rowid DESC")
        return self.page("keys", asked, "key_id", [each["shown"] for each in found])

    def revoke_key(self, key_id: str) -> Answer:
        found = self.store.get("api_keys", id=key_id)
        if found is None:
            raise Refused("NOT_FOUND", f"API key not found: {key_id}", 404)
        self.open_tenant(found["shown"]["tenant_id"])
        if found["shown"]["status"] == "REVOKED":
            raise Refused("KEY_REVOKED", f"API key already revoked: {key_id}")
        reason = {"revoked_reason": self.query["reason"]} if self.query.get("reason") else {}
        found["shown"] |= {"status": "REVOKED", "revoked_at": instant(self.now)} | reason
        self.store.save("api_keys", found)
        return 200, found["shown"]

    def create_budget(self) -> Answer:
        """POST /v1/admin/budgets. With the admin key the body names the tenant, with a tenant's key it must not."""
        request = self.parse(schemas.BudgetCreate)
        unit, limit = request.unit, request.overdraft_limit
        check_unit(unit, request.allocated, limit)
        named, tenant_id = SCOPE.fullmatch(request.scope), self.tenant or request.tenant_id
        if not named or named[1] != tenant_id or (self.tenant and request.tenant_id is not None):
            raise invalid("scope or tenant_id is not valid, or they do not match, or the key is a tenant's")
        self.require_active(tenant_id)
        scope = request.scope.lower()
        if self.store.path([scope], unit):
            raise Refused("DUPLICATE_RESOURCE", f"Budget exists: {request.scope}")
        about = {"ledger_id": str(uuid.uuid4()), "created_at": instant(self.now)}
        about |= request.model_dump(include={"commit_overage_policy", "rollover_policy"}, exclude_none=True)
        period = request.model_dump(include={"period_start", "period_end"}, exclude_none=True)
        about |= {name: instant(ms) for name, ms in period.items()}
        overdraft_limit = limit.amount if limit else 0
        ledger = Ledger(tenant_id, scope, unit, request.allocated.amount, overdraft_limit=overdraft_limit, about=about)
        self.store.save_path([ledger])
        return 201, shown_ledger(ledger)

    def list_budgets(self) -> Answer:
        asked = self.asked(schemas.BudgetList)
        where, prefix = "tenant = coalesce(?, tenant) AND substr(scope, 1, ?) = ?", asked.scope_prefix
        found = self.store.find("ledgers", where, self.tenant or asked.tenant_id, len(prefix), prefix, order="scope")
        rows = [shown_ledger(each) for document in found if (each := Ledger(**document)).readable]
        return self.page("ledgers", asked, "ledger_id", rows)

    def update_budget(self) -> Answer:
        place, request = self.asked(schemas.Place), self.parse(schemas.BudgetUpdate)
        check_unit(place.unit, request.overdraft_limit)
        ledger = self.open_ledger(place)
        if ledger.status == "CLOSED":
            raise Refused("BUDGET_CLOSED", "Cannot update a CLOSED budget")
        limit = request.overdraft_limit.amount if request.overdraft_limit else ledger.overdraft_limit
        about = request.model_dump(include={"commit_overage_policy"}, exclude_none=True)
        return 200, self.write(replace(ledgers.set_limit(ledger, limit), about=ledger.about | about))

    def fund_budget(self) -> Answer:
        """POST /v1/admin/budgets/fund. Idempotency keys are one space for all tenants, as on the server."""
        place, request = self.asked(schemas.Place), self.parse(schemas.BudgetFund)
        tenant_id = self.tenant or (place.tenant_id or "").strip()
        check_unit(place.unit, request.amount, request.spent)
        if not tenant_id or (request.spent and request.operation != "RESET_SPENT"):
            raise invalid("tenant_id is required with the admin key, and spent is for RESET_SPENT only")
        self.open_tenant(tenant_id)

        def perform() -> tuple[Document, int]:
            before = self.ledger(place, place.scope, readable=False)
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

        answer = self.once("fund", request, perform, "Idempotency key reused with different payload")
        if max(value["amount"] for value in answer.values() if isinstance(value, dict)) > INT64_MAX:
            return 500, {"error": INTERNAL[0], "message": INTERNAL[1]}  # it is written all the same (sic)
        return 200, answer

    def transition(self, verb: str) -> Answer:
        """POST /v1/admin/budgets/freeze and .../unfreeze."""
        place, after = self.asked(schemas.Place), "FROZEN" if verb == "freeze" else "ACTIVE"
        self.parse(schemas.BudgetTransition, optional=True)
        ledger = self.open_ledger(place)
        if ledger.status == "CLOSED":
            raise Refused("BUDGET_CLOSED", f"Budget is closed: {ledger.scope}")
        if ledger.status == after:
            raise Refused("INVALID_REQUEST", f"Budget is {'already' if verb == 'freeze' else 'not'} frozen")
        return 200, self.write(replace(ledger, status=after))

    def open_ledger(self, place: Any) -> Ledger:
        """Return the ledger at `place`. Raises 404, and 409 when its tenant is closed."""
        self.open_tenant(place.scope.partition("/")[0].removeprefix("tenant:"))
        return self.ledger(place, f"{place.scope}:{place.unit}")

    def ledger(self, place: Any, name: str, *, readable: bool = True) -> Ledger:
        for ledger in self.store.path([place.scope], place.unit, readable=readable):
            return ledger
        raise Refused("BUDGET_NOT_FOUND", f"Budget not found for provided scope: {name}", 404)

    def page(self, member: str, asked: Any, key: str, rows: list[Document]) -> Answer:
        """Return the page of `rows` that is asked for. Raises 400."""
        for name, value in asked.model_dump(include={"unit", "status"}, exclude_none=True).items():
            rows = [row for row in rows if row[name] == value]
        ids, last = [row[key] for row in rows], (asked.cursor or "").rpartition("|")[2]
        if last and last not in ids:
            raise invalid("Cursor is not valid for this result set; restart pagination without a cursor")
        start, size = ids.index(last) + 1 if last else 0, min(max(asked.limit, 1), 100)
        page, more = rows[start : start + size], len(rows) > start + size
        owner = f"{page[-1]['tenant_id']}|" if page and not (self.tenant or asked.tenant_id) else ""
        return 200, {member: page, "has_more": more} | ({"next_cursor": owner + page[-1][key]} if more else {})

    def write(self, ledger: Ledger) -> Document:
        """Save an admin's change, and show the ledger after it."""
        ledger = replace(ledger, about=ledger.about | {"updated_at": instant(self.now)})
        self.store.save_path([ledger])
        return shown_ledger(ledger)

    def require_active(self, tenant_id: str) -> None:
        """Raises 409 for a closed tenant, 404 if there is none, 400 for a suspended one."""
        self.open_tenant(tenant_id)
        if self.get_tenant(tenant_id)[1]["status"] != "ACTIVE":
            raise invalid(f"Tenant is not ACTIVE: {tenant_id}")

    def authenticate(self, secret: str) -> Document:
        """Return the key of a secret. Raises 401 with Cycles' reason as message; on the admin plane it is a 403."""
        found = self.store.get("api_keys", prefix=secret[:17]) or {"shown": {"status": "NOT_FOUND"}}
        key: Document = found["shown"]
        reason = f"KEY_{key['status']}"
        if key["status"] == "ACTIVE":
            wrong = found["digest"] != hashlib.sha256(secret.encode()).hexdigest()
            status = self.get_tenant(key["tenant_id"])[1]["status"]
            reason = "INVALID_KEY" if wrong else "KEY_OK" if status == "ACTIVE" else f"TENANT_{status}"
            reason = "KEY_EXPIRED" if instant(self.now) > key["expires_at"] else reason
        if reason != "KEY_OK" and self.plane == "admin":
            raise Refused("FORBIDDEN", f"Invalid API key: {reason}", 403)
        if reason != "KEY_OK":
            raise Refused("UNAUTHORIZED", reason, 401)
        return key


def shown_ledger(ledger: Ledger) -> Document:
    plain = ("tenant_id", "scope", "unit", "status", "is_over_limit")
    numbers = amounts(ledger, ("allocated", "remaining", "reserved", "spent", "debt", "overdraft_limit"))
    return ledger.about | {name: getattr(ledger, name) for name in plain} | numbers


def check_unit(unit: str | None, *given: Any) -> None:
    for each in (each for each in given if each and each.unit != unit):
        raise Refused("UNIT_MISMATCH", f"Unit mismatch: expected {unit} but got {each.unit}", 400)
