"""The runtime plane: hold, settle, extend, decide, record, read (Cycles facts, sections 1 and 3 to 7)."""

import base64
import json
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from . import ledger as ledgers
from . import schemas
from .clock import DAY_MS
from .exchange import MISMATCH, Answer, Exchange, balance, fingerprint, internal, invalid, money, present
from .ledger import Ledger, Refused
from .schemas import LEVELS, UNITS
from .storage import Document, Hold, Store

SWEEP_BATCH = 1000
NOT_YOURS = "Tenant provided in the request body does not match tenant resolved from authorization token"
STATUSES = {"ACTIVE", "COMMITTED", "RELEASED", "EXPIRED"}
SORTS = {"reservation_id", "tenant", "scope_path", "status", "reserved", "created_at_ms", "expires_at_ms"}
EXTRAS = {"metadata", "committed_metadata"}


class Runtime(Exchange):
    """The handlers; those with an id get the reservation's."""

    def reserve(self) -> Answer:
        """POST /v1/reservations: hold the estimate on every ledger of the path; with dry_run only say whether."""
        request = self.parse(schemas.Reservation)
        scopes = self.scopes(request.subject)
        perform = self.dry_run if request.dry_run else self.hold
        answer = self.once(f"{self.tenant} reserve", request, lambda: perform(request, scopes))
        return 200, self.refreshed(answer, answer.get("reservation_id"))

    def hold(self, request: Any, scopes: list[str]) -> tuple[Document, int]:
        tenant = self.open_tenant(self.tenant)
        path = ledgers.hold(self.ledgers(scopes, request.estimate.unit), request.estimate.amount)
        self.store.save_path(path)
        ttl = min(request.ttl_ms or tenant["default_reservation_ttl_ms"], tenant["max_reservation_ttl_ms"])
        grace = 5000 if request.grace_period_ms is None else request.grace_period_ms
        told = {"reservation_id": str(uuid.uuid4()), "affected_scopes": scopes, "scope_path": scopes[-1]}
        told |= {"reserved": request.estimate.model_dump(), "expires_at_ms": self.now + ttl}
        body = request.model_dump(include={"idempotency_key", "subject", "action"})
        body |= told | {"status": "ACTIVE", "created_at_ms": self.now} | present(metadata=request.metadata)
        policy = request.overage_policy or tenant["default_commit_overage_policy"]
        due, extensions = self.now + ttl + grace, tenant["max_reservation_extensions"]
        self.store.save_hold(
            Hold(tenant["tenant_id"], [each.scope for each in path], policy, extensions, due, body)
        )
        answer = allowed(path) | told | {"remaining_ttl_ms": ttl, "balances": [*map(balance, path)]}
        return answer, max(ttl + grace, DAY_MS)

    def dry_run(self, request: Any, scopes: list[str]) -> tuple[Document, int]:
        answer, path = self.judge(request, scopes)
        answer["scope_path"] = scopes[-1]
        if path:
            answer |= {"reserved": request.estimate.model_dump(), "balances": [*map(balance, path)]}
        return answer, DAY_MS

    def decide(self) -> Answer:
        """POST /v1/decide: what a reserve would say, without holding anything. A DENY is a 200."""
        request = self.parse(schemas.Decision)
        scopes = self.scopes(request.subject)
        perform = lambda: (self.judge(request, scopes)[0], DAY_MS)  # noqa: E731
        return 200, self.once(f"{self.tenant} decide", request, perform)

    def judge(self, request: Any, scopes: list[str]) -> tuple[Document, list[Ledger]]:
        """The decision and, if it is to allow, the ledgers. Raises 400 for a wrong unit only."""
        try:
            path = self.ledgers(scopes, request.estimate.unit)
            ledgers.hold(path, request.estimate.amount)
        except Refused as refused:
            if refused.code == "UNIT_MISMATCH":
                raise
            reason = "BUDGET_NOT_FOUND" if refused.code == "NOT_FOUND" else refused.code
            return {"decision": "DENY", "reason_code": reason, "affected_scopes": scopes}, []
        return allowed(path) | {"affected_scopes": scopes}, path

    def commit(self, reservation_id: str) -> Answer:
        """POST /v1/reservations/{id}/commit: charge what was really used and give back the rest of the hold."""
        request = self.parse(schemas.Commit)
        unit, actual = request.actual.unit, request.actual.amount

        def change(hold: Hold, path: list[Ledger], estimate: int) -> tuple[list[Ledger], Document]:
            path, charged = ledgers.commit(path, estimate, actual, hold.overage_policy)
            hold.body |= present(committed=money(unit, charged), committed_metadata=request.metadata)
            released = money(unit, estimate - charged) if charged < estimate else None
            return path, present(charged=money(unit, charged), released=released)

        return self.settle(reservation_id, request, "COMMITTED", change)

    def release(self, reservation_id: str) -> Answer:
        """POST /v1/reservations/{id}/release: give the whole hold back."""

        def change(hold: Hold, path: list[Ledger], estimate: int) -> tuple[list[Ledger], Document]:
            return ledgers.give_back(path, estimate), {"released": hold.body["reserved"]}

        return self.settle(reservation_id, self.parse(schemas.Release), "RELEASED", change)

    def settle(self, reservation_id: str, request: Any, status: str, change: Callable[..., Any]) -> Answer:
        """End a reservation in `status`, or give the same answer again if this very call has ended it."""
        hold, digest = self.owned(reservation_id), fingerprint(request)
        if hold.body["status"] == status and hold.settled.get("key") == request.idempotency_key:
            if hold.settled["digest"] != digest:
                raise Refused("IDEMPOTENCY_MISMATCH", MISMATCH)
            return 200, hold.settled["answer"]
        unit, estimate = hold.body["reserved"].values()
        asked = request.actual.unit if status == "COMMITTED" else unit
        self.check(hold, hold.due_ms, asked)
        path, told = change(hold, self.store.path(hold.budgeted, unit), estimate)
        self.store.save_path(path)
        answer = {"status": status} | told | {"balances": [*map(balance, path)]}
        hold.body |= {"status": status, "finalized_at_ms": self.now}
        hold.settled = {"key": request.idempotency_key, "digest": digest, "answer": answer}
        hold.due_ms = self.now + 30 * DAY_MS
        self.store.save_hold(hold)
        return 200, answer

    def extend(self, reservation_id: str) -> Answer:
        """POST /v1/reservations/{id}/extend: move the expiry, counted from the expiry, not from now."""
        request, hold = self.parse(schemas.Extension), self.owned(reservation_id)

        def perform() -> tuple[Document, int]:
            self.check(hold, hold.body["expires_at_ms"])
            if hold.extensions >= hold.max_extensions:
                message = f"Maximum reservation extensions ({hold.max_extensions}) reached"
                raise Refused("MAX_EXTENSIONS_EXCEEDED", message)
            expires = hold.body["expires_at_ms"] = hold.body["expires_at_ms"] + request.extend_by_ms
            hold.due_ms += request.extend_by_ms
            hold.extensions += 1
            self.store.save_hold(hold)
            path = self.store.path(hold.budgeted, hold.body["reserved"]["unit"])
            answer = {"status": "ACTIVE", "expires_at_ms": expires, "remaining_ttl_ms": expires - self.now}
            return answer | {"balances": [*map(balance, path)]}, expires - self.now

        answer = self.once(f"{self.tenant} extend {reservation_id}", request, perform)
        return 200, self.refreshed(answer, reservation_id)

    def event(self) -> Answer:
        """POST /v1/events: charge without a hold. `charged` is told only when it is less than asked for."""
        request = self.parse(schemas.Event)
        scopes, (unit, asked) = self.scopes(request.subject), request.actual.model_dump().values()

        def perform() -> tuple[Document, int]:
            policy = request.overage_policy or self.open_tenant(self.tenant)["default_commit_overage_policy"]
            path = ledgers.check_open(self.ledgers(scopes, unit))
            path, charged = ledgers.charge(path, asked, policy)
            self.store.save_path(path)
            capped = present(charged=money(unit, charged) if charged < asked else None)
            answer = {"status": "APPLIED", "event_id": str(uuid.uuid4())} | capped
            return answer | {"balances": [*map(balance, path)]}, 7 * DAY_MS

        return 201, self.once(f"{self.tenant} event", request, perform)

    def balances(self) -> Answer:
        """GET /v1/balances: the ledgers whose path has every segment asked for, all units and statuses."""
        if not any(level in self.query for level in LEVELS):
            raise invalid("At least one of tenant/workspace/app/workflow/agent/toolset must be provided")
        size, tenant = self.page_size(), self.query.get("tenant", self.tenant)
        self.check_tenant(tenant)
        where, values = self.path_filters("scope")
        condition, after = (
            " AND ".join(["tenant = ?", "(scope, unit) > (?, ?)", *where]),
            self.cursor(2) or ["", ""],
        )
        values = [tenant, *after, *values]
        found = self.store.find("ledgers", condition, *values, order="scope, unit", limit=size + 1)
        shown = [balance(Ledger(**document)) for document in found[:size]]
        cursor = encode(found[size - 1]["scope"], found[size - 1]["unit"]) if found[size:] else None
        return 200, {"balances": shown, "has_more": cursor is not None, "next_cursor": cursor}

    def reservation(self, reservation_id: str) -> Answer:
        """GET /v1/reservations/{id}. An expired one is 410, though lists still show it."""
        body = self.owned(reservation_id).body
        if body["status"] == "EXPIRED":
            raise expired()
        return 200, body

    def reservations(self) -> Answer:
        """GET /v1/reservations: one tenant's, filtered and sorted, by pages. All that it sorts by is indexed."""
        size, tenant = self.page_size(), self.query.get("tenant", self.tenant)
        if not tenant and self.tenant is None:
            raise invalid("tenant query parameter is required when using admin key authentication")
        where, values = self.filters()
        self.check_tenant(tenant)
        filters = json.dumps([where, values])
        sort_by, direction, after = self.order(filters)
        if after:  # equal values are ordered by id, in the same direction
            where.append(f"({sort_by}, reservation_id) {'<' if direction == 'desc' else '>'} (?, ?)")
        where, order = ["tenant = ?", *where], f"{sort_by} {direction}, reservation_id {direction}"
        found = self.store.holds(" AND ".join(where), tenant, *values, *after, order=order, limit=size + 1)
        hidden = EXTRAS - set(self.query.get("include", "").split(","))
        rows = [{name: hold.body[name] for name in hold.body.keys() - hidden} for hold in found[:size]]
        last, cursor = found[:size][-1:], None
        if found[size:]:
            cursor = encode(
                sort_by, direction, filters, *(last[0].columns()[n] for n in (sort_by, "reservation_id"))
            )
        return 200, {"reservations": rows, "has_more": cursor is not None, "next_cursor": cursor}

    def page_size(self) -> int:
        """1 to 200. Raises 400 outside of it, and 500 for what is no number, as the real server does."""
        try:
            size = int(self.query.get("limit") or 50)
        except ValueError:
            raise internal() from None
        if not 1 <= size <= 200:
            raise invalid("limit must be between 1 and 200")
        return size

    def cursor(self, length: int) -> list[Any]:
        """What encode() was given; [] for no cursor. Raises 400."""
        try:
            parts = json.loads(base64.urlsafe_b64decode(self.query.get("cursor") or "W10="))
        except ValueError:
            parts = None
        if not isinstance(parts, list) or len(parts) not in {0, length}:
            raise invalid("cursor is not valid")
        return parts

    def path_filters(self, column: str) -> tuple[list[str], list[Any]]:
        """Conditions for the levels asked for, wherever they stand in a path."""
        asked = [f"/{level}:{self.query[level].lower()}/" for level in LEVELS[1:] if level in self.query]
        return [f"instr('/' || {column} || '/', ?)"] * len(asked), asked

    def filters(self) -> tuple[list[str], list[Any]]:
        """The conditions of a list and their values. Raises 400."""
        where, values = self.path_filters("scope_path")
        if self.query.get("status", "ACTIVE") not in STATUSES:
            raise invalid(f"Invalid status filter: {self.query['status']}")
        for name in (name for name in ("status", "idempotency_key") if name in self.query):
            where, values = [*where, f"{name} = ?"], [*values, self.query[name]]
        for prefix, column in (
            ("", "created_at_ms"),
            ("expires_", "expires_at_ms"),
            ("finalized_", "finalized_at_ms"),
        ):
            start, end = self.moment(f"{prefix}from", 0), self.moment(f"{prefix}to", 2**62)
            if start > end:
                raise invalid(f"{prefix}from must not be after {prefix}to")
            if (start, end) != (0, 2**62):
                where, values = [*where, f"{column} BETWEEN ? AND ?"], [*values, start, end]
        return where, values

    def moment(self, name: str, unset: int) -> int:
        """The ISO instant in the query as ms; blank is unset."""
        value = self.query.get(name, "").strip()
        try:
            moment = datetime.fromisoformat(value) if value else None
        except ValueError:
            raise invalid(f"{name} must be an ISO-8601 instant") from None
        if moment and moment.tzinfo is None:
            raise invalid(f"{name} must be an ISO-8601 instant")
        return int(moment.timestamp() * 1000) if moment else unset

    def order(self, filters: str) -> tuple[str, str, list[Any]]:
        """(sort_by, direction, value and id of the last row seen). A cursor carries its own order. Raises 400."""
        cursor, asked = self.cursor(5), (self.query.get("sort_by"), self.query.get("sort_dir"))
        default = cursor[:2] or (["created_at_ms", "desc"] if any(asked) else ["reservation_id", "asc"])
        sort_by, direction = (
            str(given or other).lower() for given, other in zip(asked, default, strict=True)
        )
        if sort_by not in SORTS or direction not in {"asc", "desc"}:
            raise invalid(f"Invalid sort_by or sort_dir: {sort_by} {direction}")
        if cursor and cursor[:3] != [sort_by, direction, filters]:
            raise invalid("cursor is not valid for the requested sort_by / sort_dir / filters")
        return sort_by, direction, cursor[3:]

    def scopes(self, subject: Any) -> list[str]:
        """One cumulative path for each level given, root first, values lowercased. Raises 400 and 403."""
        segments = [f"{level}:{value.lower()}" for level in LEVELS if (value := getattr(subject, level))]
        if not segments:
            raise invalid("Subject must have at least one standard field")
        self.check_tenant(subject.tenant)
        return ["/".join(segments[: depth + 1]) for depth in range(len(segments))]

    def ledgers(self, scopes: list[str], unit: str) -> list[Ledger]:
        """Those along a path. Raises 400 if there are some in other units only, 404 if there is none."""
        if path := self.store.path(scopes, unit):
            return path
        for scope in scopes:
            if expected := [other for other in UNITS if self.store.path([scope], other)]:
                why = f"exists but in a different unit (requested: {unit}, expected: [{', '.join(expected)}])"
                details = {"scope": scope, "requested_unit": unit, "expected_units": expected}
                raise Refused("UNIT_MISMATCH", f"Budget at scope '{scope}' {why}", 400, details)
        raise Refused("NOT_FOUND", f"Budget not found for provided scope: {scopes[-1]}", 404)

    def check_tenant(self, tenant: str | None) -> None:
        """Raises 403 if a tenant is named and is not the caller's; the admin key may name any."""
        if self.tenant is not None and tenant and tenant != self.tenant:
            raise Refused("FORBIDDEN", NOT_YOURS, 403)

    def owned(self, reservation_id: str) -> Hold:
        """The reservation. Raises 404 if there is none, 403 if it is another tenant's."""
        found = self.store.get("reservations", reservation_id=reservation_id)
        if found is None:
            raise Refused("NOT_FOUND", f"Resource not found: {reservation_id}", 404)
        self.check_tenant(found["tenant"])
        return Hold(**found)

    def open_tenant(self, tenant_id: str | None) -> Document:
        """The tenant's settings. Raises 409 once it is closed."""
        tenant = self.store.get("tenants", id=tenant_id) or {}
        if tenant.get("status") == "CLOSED":
            raise Refused("TENANT_CLOSED", f"Tenant is closed: {tenant_id}")
        return tenant

    def check(self, hold: Hold, until_ms: int, unit: str | None = None) -> None:
        """Raises unless the reservation can still be changed, in this unit and until then. The order is Cycles'."""
        self.open_tenant(hold.tenant)
        if hold.body["status"] == "EXPIRED":
            raise expired()
        if hold.body["status"] != "ACTIVE":
            raise Refused("RESERVATION_FINALIZED", "Reservation finalized: Reservation already finalized")
        if unit not in {None, hold.body["reserved"]["unit"]}:
            raise Refused("UNIT_MISMATCH", "Provided units does not match the stored ones", 400)
        if self.now > until_ms:
            raise expired()

    def refreshed(self, answer: Document, reservation_id: str | None) -> Document:
        """A repeated answer differs in one thing: remaining_ttl_ms is of now, and 0 once the hold is over."""
        if reservation_id is None:
            return answer
        hold = self.store.get("reservations", reservation_id=reservation_id)
        live = hold is not None and hold["body"]["status"] == "ACTIVE"
        return answer | {"remaining_ttl_ms": max(0, answer["expires_at_ms"] - self.now) if live else 0}


def sweep(store: Store, now: int) -> int:
    """Expire one batch of what is past its grace (gives the number), and forget what is past its keeping."""
    due = store.holds("status = 'ACTIVE' AND due_ms < ?", now, order="due_ms", limit=SWEEP_BATCH)
    for hold in due:
        unit, estimate = hold.body["reserved"].values()
        store.save_path(ledgers.give_back(store.path(hold.budgeted, unit), estimate))
        hold.body["status"], hold.due_ms = "EXPIRED", now + 30 * DAY_MS
        store.save_hold(hold)
    store.delete("reservations", "status IN ('COMMITTED', 'RELEASED', 'EXPIRED') AND due_ms < ?", now)
    store.delete("replays", "until_ms <= ?", now)
    return len(due)


def encode(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def allowed(path: list[Ledger]) -> Document:
    """ALLOW, or with caps on the deepest ledger ALLOW_WITH_CAPS. Only our control plane ever sets caps."""
    caps = path[-1].caps
    return {"decision": "ALLOW_WITH_CAPS", "caps": caps} if caps else {"decision": "ALLOW"}


def expired() -> Refused:
    return Refused("RESERVATION_EXPIRED", "Provided reservation has already expired", 410)
