"""The runtime plane: hold, settle, extend, decide, record, read."""

import base64
import contextlib
import json
import uuid
from collections.abc import Callable
from typing import Any

from . import ledger as ledgers
from . import schemas
from .clock import DAY_MS
from .exchange import INTERNAL, MISMATCH, Answer, Exchange, balances, fingerprint, invalid, money
from .ledger import Ledger, Refused
from .schemas import LEVELS, UNITS
from .storage import Document, Hold, Store

SWEEP_BATCH = 1000
NOT_YOURS = "Tenant provided in the request body does not match tenant resolved from authorization token"
SORTS = {"reservation_id", "tenant", "scope_path", "status", "reserved", "created_at_ms", "expires_at_ms"}
EXPIRED = ("RESERVATION_EXPIRED", "Provided reservation has already expired", 410)
WINDOWS = {"": "created_at_ms", "expires_": "expires_at_ms", "finalized_": "finalized_at_ms"}


class Runtime(Exchange):
    """The handlers; those with an id get the reservation's."""

    def reserve(self) -> Answer:
        """POST /v1/reservations: hold the estimate on every ledger of the path; with dry_run only say whether."""
        request = self.parse(schemas.Reservation)
        scopes = self.scopes(request.subject)
        perform = self.judge if request.dry_run else self.hold
        answer = self.once(f"{self.tenant} reserve", request, lambda: perform(request, scopes))
        return 200, self.refreshed(answer, answer.get("reservation_id"))

    def hold(self, request: Any, scopes: list[str]) -> tuple[Document, int]:
        """Return the answer to a reserve, and for how many ms it is kept."""
        tenant = self.open_tenant(self.tenant)
        path = ledgers.hold(self.ledgers(scopes, request.estimate.unit), request.estimate.amount)
        self.store.save_path(path)
        ttl = min(request.ttl_ms or tenant["default_reservation_ttl_ms"], tenant["max_reservation_ttl_ms"])
        grace = 5000 if request.grace_period_ms is None else request.grace_period_ms
        told = {"reservation_id": str(uuid.uuid4()), "affected_scopes": scopes, "scope_path": scopes[-1]}
        told |= {"reserved": request.estimate.model_dump(), "expires_at_ms": self.now + ttl}
        body = request.model_dump(include={"idempotency_key", "subject", "action"})
        body |= request.model_dump(include={"metadata"}, exclude_none=True)
        body |= told | {"status": "ACTIVE", "created_at_ms": self.now}
        hold = Hold(tenant["tenant_id"], [each.scope for each in path], self.now + ttl + grace, body)
        hold.overage_policy = request.overage_policy or tenant["default_commit_overage_policy"]
        hold.max_extensions = tenant["max_reservation_extensions"]
        self.store.save("reservations", vars(hold))
        return allowed(path) | told | {"remaining_ttl_ms": ttl} | balances(path), max(ttl + grace, DAY_MS)

    def decide(self) -> Answer:
        """POST /v1/decide: what a reserve would say, without holding anything. A DENY is a 200."""
        request = self.parse(schemas.Decision)
        scopes = self.scopes(request.subject)
        return 200, self.once(f"{self.tenant} decide", request, lambda: self.judge(request, scopes))

    def judge(self, request: Any, scopes: list[str]) -> tuple[Document, int]:
        """Return the answer to decide, and to a dry run, which shows more. Raises 400 for a wrong unit only."""
        dry_run = hasattr(request, "dry_run")
        answer = {"affected_scopes": scopes} | ({"scope_path": scopes[-1]} if dry_run else {})
        try:
            path = self.ledgers(scopes, request.estimate.unit)
            ledgers.hold(path, request.estimate.amount)
        except Refused as refused:
            if refused.code == "UNIT_MISMATCH":
                raise
            reason = "BUDGET_NOT_FOUND" if refused.code == "NOT_FOUND" else refused.code
            return answer | {"decision": "DENY", "reason_code": reason}, DAY_MS
        shown = {"reserved": request.estimate.model_dump()} | balances(path) if dry_run else {}
        return answer | allowed(path) | shown, DAY_MS

    def commit(self, reservation_id: str) -> Answer:
        """POST /v1/reservations/{id}/commit: charge what was really used and give back the rest of the hold."""
        request = self.parse(schemas.Commit)
        unit = request.actual.unit

        def change(hold: Hold, path: list[Ledger], estimate: int) -> tuple[list[Ledger], Document]:
            path, charged = ledgers.commit(path, estimate, request.actual.amount, hold.overage_policy)
            told = {"charged": money(unit, charged)}
            told |= {"released": money(unit, estimate - charged)} if charged < estimate else {}
            metadata = {"committed_metadata": request.metadata} if request.metadata is not None else {}
            hold.body |= {"committed": told["charged"]} | metadata
            return path, told

        return self.settle(reservation_id, request, "COMMITTED", change)

    def release(self, reservation_id: str) -> Answer:
        """POST /v1/reservations/{id}/release: give the whole hold back."""

        def change(hold: Hold, path: list[Ledger], estimate: int) -> tuple[list[Ledger], Document]:
            return ledgers.give_back(path, estimate), {"released": hold.body["reserved"]}

        return self.settle(reservation_id, self.parse(schemas.Release), "RELEASED", change)

    def settle(self, reservation_id: str, request: Any, status: str, change: Callable[..., Any]) -> Answer:
        """End a reservation in `status`, or give the same answer again if this very call has ended it."""
        mark = {"key": request.idempotency_key, "digest": fingerprint(request)}
        hold = self.owned(reservation_id)
        if hold.body["status"] == status and hold.settled["key"] == mark["key"]:
            if hold.settled["digest"] != mark["digest"]:
                raise Refused("IDEMPOTENCY_MISMATCH", MISMATCH)
            return 200, hold.settled["answer"]
        unit, estimate = hold.body["reserved"].values()
        self.check(hold, hold.due_ms, request.actual.unit if status == "COMMITTED" else unit)
        path, told = change(hold, self.store.path(hold.budgeted, unit), estimate)
        self.store.save_path(path)
        answer = {"status": status} | told | balances(path)
        hold.body |= {"status": status, "finalized_at_ms": self.now}
        hold.settled, hold.due_ms = mark | {"answer": answer}, self.now + 30 * DAY_MS
        self.store.save("reservations", vars(hold))
        return 200, answer

    def extend(self, reservation_id: str) -> Answer:
        """POST /v1/reservations/{id}/extend: move the expiry, counted from the expiry, not from now."""
        request, hold = self.parse(schemas.Extension), self.owned(reservation_id)

        def perform() -> tuple[Document, int]:
            self.check(hold, hold.body["expires_at_ms"])
            if hold.extensions >= hold.max_extensions:
                message = f"Maximum reservation extensions ({hold.max_extensions}) reached"
                raise Refused("MAX_EXTENSIONS_EXCEEDED", message)
            hold.body["expires_at_ms"] += request.extend_by_ms
            hold.due_ms += request.extend_by_ms
            hold.extensions += 1
            self.store.save("reservations", vars(hold))
            path = self.store.path(hold.budgeted, hold.body["reserved"]["unit"])
            expires = hold.body["expires_at_ms"]
            answer = {"status": "ACTIVE", "expires_at_ms": expires, "remaining_ttl_ms": expires - self.now}
            return answer | balances(path), expires - self.now

        answer = self.once(f"{self.tenant} extend {reservation_id}", request, perform)
        return 200, self.refreshed(answer, reservation_id)

    def event(self) -> Answer:
        """POST /v1/events: charge without a hold. `charged` is told only when it is less than asked for."""
        request = self.parse(schemas.Event)
        scopes, unit, asked = self.scopes(request.subject), request.actual.unit, request.actual.amount

        def perform() -> tuple[Document, int]:
            policy = request.overage_policy or self.open_tenant(self.tenant)["default_commit_overage_policy"]
            path = ledgers.check_open(self.ledgers(scopes, unit))
            path, charged = ledgers.charge(path, asked, policy)
            self.store.save_path(path)
            capped = {"charged": money(unit, charged)} if charged < asked else {}
            return {"status": "APPLIED", "event_id": str(uuid.uuid4())} | capped | balances(path), 7 * DAY_MS

        return 201, self.once(f"{self.tenant} event", request, perform)

    def balances(self) -> Answer:
        """GET /v1/balances: the ledgers whose path has every segment asked for, all units and statuses."""
        size, tenant = self.page_size(), self.query.get("tenant", self.tenant)
        if not any(level in self.query for level in LEVELS):
            raise invalid("At least one of tenant/workspace/app/workflow/agent/toolset must be provided")
        self.check_tenant(tenant)
        where, values = self.path_filters("scope")
        where, values = [*where, "tenant = ?", "(scope, unit) > (?, ?)"], [*values, tenant]
        values += self.cursor(2) or ["", ""]
        found = self.store.find("ledgers", " AND ".join(where), *values, order="scope, unit", limit=size)
        path = [Ledger(**document) for document in found]
        last = [path[-1].scope, path[-1].unit] if len(path) == size else None
        return 200, balances([each for each in path if each.readable]) | paging(last)

    def reservation(self, reservation_id: str) -> Answer:
        """GET /v1/reservations/{id}. An expired one is 410, though lists still show it."""
        body = self.owned(reservation_id).body
        if body["status"] == "EXPIRED":
            raise Refused(*EXPIRED)
        return 200, body

    def reservations(self) -> Answer:
        """GET /v1/reservations: one tenant's, filtered and sorted, by pages. All that it sorts by is indexed."""
        size, tenant = self.page_size(), self.query.get("tenant", self.tenant)
        if self.tenant is None and not (tenant or "").strip():
            raise invalid("tenant query parameter is required when using admin key authentication")
        where, values = self.filters()
        self.check_tenant(tenant)
        filters = json.dumps([where, values])
        sort_by, direction, after = self.order(filters)
        if after:  # equal values are ordered by id, in the same direction
            where.append(f"({sort_by}, reservation_id) {'<' if direction == 'desc' else '>'} (?, ?)")
        condition, values = " AND ".join(["tenant = ?", *where]), [tenant, *values, *after]
        order = f"{sort_by} {direction}, reservation_id {direction}"
        rows = self.store.find("reservations", condition, *values, order=order, limit=size + 1)
        hidden = {"metadata", "committed_metadata"} - set(self.query.get("include", "").split(","))
        shown = [{name: row["body"][name] for name in row["body"].keys() - hidden} for row in rows[:size]]
        boundary, sort = None, "sort_by" in self.query or "sort_dir" in self.query
        if rows[size:] or (len(rows) == size and sort_by == "reservation_id" and not sort):
            last = rows[size - 1]["body"]
            keys = last | {"tenant": tenant, "reserved": last["reserved"]["amount"]}
            boundary = [sort_by, direction, filters, keys[sort_by], last["reservation_id"]]
        return 200, {"reservations": shown} | paging(boundary)

    def page_size(self) -> int:
        """Return the limit, 1 to 200. Raises 400, and 500 (sic) for what is no number."""
        limit: int = self.asked(schemas.Page, Refused(*INTERNAL)).limit
        if not 1 <= limit <= 200:
            raise invalid("limit must be between 1 and 200")
        return limit

    def cursor(self, length: int) -> list[Any]:
        """Return what paging() was given, [] for the first page. Raises 400 if a sort is asked for, else 500 (sic)."""
        cursor, sort = self.query.get("cursor", "").strip(), "sort_by" in self.query or "sort_dir" in self.query
        if not cursor or (cursor.isdecimal() and not sort):
            return []
        with contextlib.suppress(ValueError):
            parts = json.loads(base64.urlsafe_b64decode(cursor))
            if isinstance(parts, list) and len(parts) == length:
                return parts
        raise invalid("cursor is not valid") if sort else Refused(*INTERNAL)

    def path_filters(self, column: str) -> tuple[list[str], list[Any]]:
        """Return conditions for the levels asked for, anywhere in a path."""
        asked = [f"/{level}:{self.query[level].lower()}/" for level in LEVELS[1:] if level in self.query]
        return [f"instr('/' || {column} || '/', ?)"] * len(asked), asked

    def filters(self) -> tuple[list[str], list[Any]]:
        """Return the conditions of a list and their values. Raises 400."""
        where, values = self.path_filters("scope_path")
        asked = self.asked(schemas.ReservationList).model_dump(exclude_none=True)
        for name in (name for name in ("status", "idempotency_key") if name in asked):
            where, values = [*where, f"{name} = ?"], [*values, asked[name]]
        for prefix, column in WINDOWS.items():
            window = asked.get(f"{prefix}from", 0), asked.get(f"{prefix}to", 2**62)
            if window[0] > window[1]:
                raise invalid(f"{prefix}from must not be after {prefix}to")
            if window != (0, 2**62):
                where, values = [*where, f"{column} BETWEEN ? AND ?"], [*values, *window]
        return where, values

    def order(self, filters: str) -> tuple[str, str, list[Any]]:
        """Return sort_by, direction, value and id of the last row seen. A cursor carries its own order. Raises 400."""
        cursor, asked = self.cursor(5), (self.query.get("sort_by"), self.query.get("sort_dir"))
        default = cursor[:2] or (["created_at_ms", "desc"] if asked != (None, None) else ["reservation_id", "asc"])
        sort_by, direction = [str(default[n] if value is None else value).lower() for n, value in enumerate(asked)]
        if sort_by not in SORTS or direction not in {"asc", "desc"}:
            raise invalid(f"Invalid sort_by or sort_dir: {sort_by} {direction}")
        if cursor and cursor[:3] != [sort_by, direction, filters]:
            raise invalid("cursor is not valid for the requested sort_by / sort_dir / filters")
        return sort_by, direction, cursor[3:]

    def scopes(self, subject: Any) -> list[str]:
        """Return a cumulative path for each level given, root first, values lowercased. Raises 400 and 403."""
        segments = [f"{level}:{value.lower()}" for level in LEVELS if (value := getattr(subject, level))]
        if not segments:
            raise invalid("Subject must have at least one standard field")
        self.check_tenant(subject.tenant)
        return ["/".join(segments[: depth + 1]) for depth in range(len(segments))]

    def ledgers(self, scopes: list[str], unit: str) -> list[Ledger]:
        """Return the ledgers along a path. Raises 400 if they exist in other units only, 404 if there is none."""
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
        if self.tenant is not None and tenant and tenant.strip() and tenant != self.tenant:
            raise Refused("FORBIDDEN", NOT_YOURS, 403)

    def owned(self, reservation_id: str) -> Hold:
        """Return the reservation. Raises 404 if there is none, 403 if it is another tenant's, 400 for a long id."""
        if len(reservation_id) > 128:
            raise invalid("reservation_id: size must be between 1 and 128")
        found = self.store.get("reservations", reservation_id=reservation_id)
        if found is None:
            raise Refused("NOT_FOUND", f"Resource not found: {reservation_id}", 404)
        self.check_tenant(found["tenant"])
        return Hold(**found)

    def check(self, hold: Hold, until_ms: int, unit: str | None = None) -> None:
        """Raises unless the reservation can still be changed, in this unit and until then. The order is Cycles'."""
        self.open_tenant(hold.tenant)
        if hold.body["status"] in {"COMMITTED", "RELEASED"}:
            raise Refused("RESERVATION_FINALIZED", "Reservation finalized: Reservation already finalized")
        if hold.body["status"] == "ACTIVE" and unit not in {None, hold.body["reserved"]["unit"]}:
            raise Refused("UNIT_MISMATCH", "Provided units does not match the stored ones", 400)
        if hold.body["status"] == "EXPIRED" or self.now > until_ms:
            raise Refused(*EXPIRED)

    def refreshed(self, answer: Document, reservation_id: str | None) -> Document:
        """Return a repeated answer with the remaining_ttl_ms of now, which is 0 once the hold is over."""
        if reservation_id:
            hold = self.store.get("reservations", reservation_id=reservation_id)
            live = hold is not None and hold["body"]["status"] == "ACTIVE"
            answer["remaining_ttl_ms"] = max(0, answer["expires_at_ms"] - self.now) if live else 0
        return answer


def sweep(store: Store, now: int) -> int:
    """Expire one batch of holds that are past their grace, delete outdated rows. Return the number of expired holds."""
    due = store.holds("status = 'ACTIVE' AND due_ms < ?", now, order="due_ms", limit=SWEEP_BATCH)
    for hold in due:
        unit, estimate = hold.body["reserved"].values()
        store.save_path(ledgers.give_back(store.path(hold.budgeted, unit, readable=False), estimate))
        hold.body["status"], hold.due_ms = "EXPIRED", now + 30 * DAY_MS
        store.save("reservations", vars(hold))
    store.delete("reservations", "status IN ('COMMITTED', 'RELEASED', 'EXPIRED') AND due_ms < ?", now)
    store.delete("replays", "until_ms <= ?", now)
    return len(due)


def paging(last: list[Any] | None) -> Document:
    """Return the end of a page: the cursor is the boundary to go on from, None on the last page."""
    cursor = base64.urlsafe_b64encode(json.dumps(last).encode()).decode() if last else None
    return {"has_more": last is not None, "next_cursor": cursor}


def allowed(path: list[Ledger]) -> Document:
    """Return ALLOW, or ALLOW_WITH_CAPS if the deepest ledger has caps. Only our control plane ever sets caps."""
    caps = path[-1].caps
    return {"decision": "ALLOW_WITH_CAPS", "caps": caps} if caps else {"decision": "ALLOW"}
