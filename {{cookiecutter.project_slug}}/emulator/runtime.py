"""The runtime plane's writes: hold, settle, extend, decide and record (Cycles facts, sections 1 and 3 to 6)."""

import json
import uuid

from . import ledger as ledgers
from .exchange import Answer, Call, Refusal, amount, balance, fingerprint, invalid, present
from .ledger import Ledger
from .schemas import (
    LEVELS,
    Amount,
    CommitRequest,
    DecisionRequest,
    EventRequest,
    ExtendRequest,
    Keyed,
    ReleaseRequest,
    ReservationRequest,
    Subject,
    Unit,
)
from .storage import Document, Reservation, Store

HOUR_MS = 3600 * 1000
NOT_FOUND = "BUDGET_NOT_FOUND"


def reserve(call: Call) -> Answer:
    """POST /v1/reservations: hold the estimate on every ledger along the path, or with dry_run only say whether."""
    request = call.parse(ReservationRequest)
    check_subject(call, request.subject)
    if replay := replayed(call, "reserve", request):
        return 200, with_remaining_ttl(call, replay)
    settings = open_tenant(call)
    if request.dry_run:
        return 200, keep(call, "reserve", request, evaluate(call, request, dry_run=True), 24 * HOUR_MS)

    scopes = derive_scopes(request.subject)
    reason, scope, path = verdict(call, scopes, request.estimate)
    if reason:
        raise denied(reason, scope)
    unit, estimate = request.estimate.unit.value, request.estimate.amount
    path = ledgers.hold(path, estimate)
    call.store.save_ledgers(path)
    ttl = min(request.ttl_ms or settings["default_reservation_ttl_ms"], settings["max_reservation_ttl_ms"])
    grace = 5000 if request.grace_period_ms is None else request.grace_period_ms
    row = Reservation(
        id=str(uuid.uuid4()),
        tenant_id=settings["tenant_id"],
        status="ACTIVE",
        idempotency_key=request.idempotency_key,
        unit=unit,
        amount=estimate,
        scope_path=scopes[-1],
        budgeted=[each.scope for each in path],
        overage_policy=request.overage_policy or settings["default_commit_overage_policy"],
        created_at=call.now,
        expires_at=call.now + ttl,
        grace_ms=grace,
        extensions=0,
        max_extensions=settings["max_reservation_extensions"],
        due=call.now + ttl + grace,
        charged=None,
        finalized_at=None,
        settled_key=None,
        settled_hash=None,
        settled_answer=None,
        document={
            "subject": request.subject.model_dump(),
            "action": request.action.model_dump(),
            "affected_scopes": scopes,
            **present(metadata=request.metadata),
        },
    )
    call.store.add_reservation(row)
    answer = {
        **decision(path),
        "reservation_id": row.id,
        "affected_scopes": scopes,
        "expires_at_ms": row.expires_at,
        "remaining_ttl_ms": ttl,
        "scope_path": scopes[-1],
        "reserved": amount(unit, estimate),
        "balances": [balance(each) for each in path],
    }
    return 200, keep(call, "reserve", request, answer, max(ttl + grace, 24 * HOUR_MS))


def decide(call: Call) -> Answer:
    """POST /v1/decide: what a reserve would say, without holding anything. A DENY is a 200."""
    request = call.parse(DecisionRequest)
    check_subject(call, request.subject)
    if replay := replayed(call, "decide", request):
        return 200, replay
    return 200, keep(call, "decide", request, evaluate(call, request, dry_run=False), 24 * HOUR_MS)


def commit(call: Call, reservation_id: str) -> Answer:
    """POST /v1/reservations/{id}/commit: charge what was really used and give back the rest of the hold."""
    request = call.parse(CommitRequest)
    row = owned(call, reservation_id)
    if replay := settled(row, "COMMITTED", request):
        return 200, replay
    require_live(call, row)
    if request.actual.unit != row.unit:
        raise Refusal(400, "UNIT_MISMATCH", "Provided units does not match the stored ones")
    require_in_time(call, row.due)
    path = call.store.path(row.budgeted, row.unit)
    try:
        path, charged = ledgers.commit(path, row.amount, request.actual.amount, row.overage_policy)
    except ledgers.Insufficient:
        raise denied("BUDGET_EXCEEDED", note="Actual exceeds estimate and policy is REJECT") from None
    except ledgers.OverdraftExceeded:
        raise denied("OVERDRAFT_LIMIT_EXCEEDED", note="OVERDRAFT_LIMIT_EXCEEDED") from None
    row.charged = charged
    row.document |= present(committed_metadata=request.metadata)
    released = amount(row.unit, row.amount - charged) if charged < row.amount else None
    answer = present(status="COMMITTED", charged=amount(row.unit, charged), released=released)
    return 200, settle(call, row, request, path, answer)


def release(call: Call, reservation_id: str) -> Answer:
    """POST /v1/reservations/{id}/release: give the whole hold back."""
    request = call.parse(ReleaseRequest)
    row = owned(call, reservation_id)
    if replay := settled(row, "RELEASED", request):
        return 200, replay
    require_live(call, row)
    require_in_time(call, row.due)
    path = ledgers.give_back(call.store.path(row.budgeted, row.unit), row.amount)
    answer: Document = {"status": "RELEASED", "released": amount(row.unit, row.amount)}
    return 200, settle(call, row, request, path, answer)


def extend(call: Call, reservation_id: str) -> Answer:
    """POST /v1/reservations/{id}/extend: move the expiry, counted from the expiry, not from now."""
    request = call.parse(ExtendRequest)
    row = owned(call, reservation_id)
    space = f"extend {row.id}"
    if replay := replayed(call, space, request):
        return 200, with_remaining_ttl(call, replay, row)
    require_live(call, row)
    require_in_time(call, row.expires_at)
    if row.extensions >= row.max_extensions:
        message = f"Maximum reservation extensions ({row.max_extensions}) reached"
        raise Refusal(409, "MAX_EXTENSIONS_EXCEEDED", message)
    row.extensions += 1
    row.expires_at += request.extend_by_ms
    row.due += request.extend_by_ms
    call.store.save_expiry(row)
    left = row.expires_at - call.now
    path = call.store.path(row.budgeted, row.unit)
    answer = {
        "status": "ACTIVE",
        "expires_at_ms": row.expires_at,
        "remaining_ttl_ms": left,
        "balances": [balance(each) for each in path],
    }
    return 200, keep(call, space, request, answer, left)


def event(call: Call) -> Answer:
    """POST /v1/events: charge without a hold. `charged` is told only when it is less than asked for."""
    request = call.parse(EventRequest)
    check_subject(call, request.subject)
    if replay := replayed(call, "event", request):
        return 201, replay
    settings = open_tenant(call)
    path = call.store.path(derive_scopes(request.subject), request.actual.unit)
    if not path:
        raise missing(call, derive_scopes(request.subject), request.actual.unit)
    for each in path:
        if each.status in {"FROZEN", "CLOSED"}:
            raise denied(f"BUDGET_{each.status}", each.scope)
    asked = request.actual.amount
    try:
        policy = request.overage_policy or settings["default_commit_overage_policy"]
        path, charged = ledgers.charge(path, asked, policy)
    except ledgers.Insufficient:
        raise denied("BUDGET_EXCEEDED", note="BUDGET_EXCEEDED") from None
    except ledgers.OverdraftExceeded:
        raise denied("OVERDRAFT_LIMIT_EXCEEDED", note="OVERDRAFT_LIMIT_EXCEEDED") from None
    call.store.save_ledgers(path)
    capped = amount(request.actual.unit.value, charged) if charged < asked else None
    answer = present(
        status="APPLIED",
        event_id=str(uuid.uuid4()),
        charged=capped,
        balances=[balance(each) for each in path],
    )
    return 201, keep(call, "event", request, answer, 7 * 24 * HOUR_MS)


def sweep(store: Store, now: int) -> int:
    """Expire what is past its grace, one batch; gives the number. To be called within a transaction."""
    rows = store.to_expire(now)
    for row in rows:
        store.save_ledgers(ledgers.give_back(store.path(row.budgeted, row.unit), row.amount))
        row.status = "EXPIRED"
        store.finish(row, now)
    store.forget(now)
    return len(rows)


def derive_scopes(subject: Subject) -> list[str]:
    """One cumulative path for each level given, root first; gaps are skipped, values lowercased."""
    segments = [f"{level}:{value.lower()}" for level in LEVELS if (value := getattr(subject, level))]
    return ["/".join(segments[: depth + 1]) for depth in range(len(segments))]


def check_subject(call: Call, subject: Subject) -> None:
    if not derive_scopes(subject):
        raise invalid("Subject must have at least one standard field")
    authorize(call, subject.tenant)


def authorize(call: Call, tenant: str | None) -> None:
    """Raises 403 if a tenant is named and is not the caller's; the admin key may name any."""
    if call.tenant is not None and tenant and tenant != call.tenant:
        message = "Tenant provided in the request body does not match tenant resolved from authorization token"
        raise Refusal(403, "FORBIDDEN", message)


def owned(call: Call, reservation_id: str) -> Reservation:
    """The reservation. Raises 404 if there is none, 403 if it is another tenant's."""
    if len(reservation_id) > 128:
        raise invalid("reservation_id: size must be between 1 and 128")
    row = call.store.reservation(reservation_id)
    if row is None:
        raise Refusal(404, "NOT_FOUND", f"Resource not found: {reservation_id}")
    authorize(call, row.tenant_id)
    return row


def open_tenant(call: Call, tenant_id: str | None = None) -> Document:
    """The tenant's settings. Raises 409 once it is closed."""
    tenant = call.store.tenant(tenant_id or call.tenant or "") or {}
    if tenant.get("status") == "CLOSED":
        raise Refusal(409, "TENANT_CLOSED", f"Tenant is closed: {tenant['tenant_id']}")
    return tenant


def require_live(call: Call, row: Reservation) -> None:
    open_tenant(call, row.tenant_id)
    if row.status == "EXPIRED":
        raise expired()
    if row.status != "ACTIVE":
        raise Refusal(409, "RESERVATION_FINALIZED", "Reservation finalized: Reservation already finalized")


def require_in_time(call: Call, until: int) -> None:
    if call.now > until:
        raise expired()


def expired() -> Refusal:
    return Refusal(410, "RESERVATION_EXPIRED", "Provided reservation has already expired")


def verdict(call: Call, scopes: list[str], estimate: Amount) -> tuple[str | None, str, list[Ledger]]:
    """(the first reason to deny or None, its scope, the ledgers along the path). Raises 400 for a wrong unit only."""
    path = call.store.path(scopes, estimate.unit)
    if not path:
        refusal = missing(call, scopes, estimate.unit)
        if refusal.error == "UNIT_MISMATCH":
            raise refusal
        return NOT_FOUND, scopes[-1], path
    for each in path:
        if reason := ledgers.denial(each, estimate.amount):
            return reason, each.scope, path
    return None, "", path


def missing(call: Call, scopes: list[str], unit: Unit) -> Refusal:
    """No ledger in this unit: 400 if there is one in another, 404 if there is none at all."""
    for scope in scopes:
        stored = call.store.units(scope)
        if expected := [each.value for each in Unit if each.value in stored]:
            listed = ", ".join(expected)
            message = (
                f"Budget at scope '{scope}' exists but in a different unit"
                f" (requested: {unit.value}, expected: [{listed}])"
            )
            details = {"scope": scope, "requested_unit": unit.value, "expected_units": expected}
            return Refusal(400, "UNIT_MISMATCH", message, details)
    return denied(NOT_FOUND, scopes[-1])


def denied(reason: str, scope: str = "", note: str | None = None) -> Refusal:
    """A reason code as the error of a live call; only the first three name the scope, as on the real server."""
    match reason:
        case "BUDGET_NOT_FOUND":
            return Refusal(404, "NOT_FOUND", f"Budget not found for provided scope: {scope}")
        case "BUDGET_FROZEN" | "BUDGET_CLOSED":
            return Refusal(409, reason, f"Budget is {reason[7:].lower()} for scope: {scope}")
        case "OVERDRAFT_LIMIT_EXCEEDED":
            note = note or "Scope is over-limit, no new reservations allowed"
            return Refusal(409, reason, f"Overdraft limit exceeded for: {note}")
        case "DEBT_OUTSTANDING":
            return Refusal(409, reason, f"Outstanding debt blocks new reservation for: {reason}")
        case _:
            return Refusal(409, reason, f"Budget exceeded for: {note or reason}")


def decision(path: list[Ledger]) -> Document:
    """ALLOW, or with caps on the deepest ledger ALLOW_WITH_CAPS. Only our control plane ever sets caps."""
    caps = path[-1].caps
    return {"decision": "ALLOW_WITH_CAPS", "caps": json.loads(caps)} if caps else {"decision": "ALLOW"}


def evaluate(call: Call, request: DecisionRequest, *, dry_run: bool) -> Document:
    """The answer to decide and to a dry run, which tells the path and the balances as well."""
    scopes = derive_scopes(request.subject)
    reason, _, path = verdict(call, scopes, request.estimate)
    judged = {"decision": "DENY", "reason_code": reason} if reason else decision(path)
    answer = {**judged, "affected_scopes": scopes}
    if dry_run:
        answer["scope_path"] = scopes[-1]
        if not reason:
            answer["reserved"] = amount(request.estimate.unit.value, request.estimate.amount)
            answer["balances"] = [balance(each) for each in path]
    return answer


def mismatch() -> Refusal:
    return Refusal(409, "IDEMPOTENCY_MISMATCH", "Provided idempotency does not match the stored one")


def replayed(call: Call, space: str, request: Keyed) -> Document | None:
    """The first answer to this idempotency key. Raises 409 if the payload was another."""
    found = call.store.replay(f"{call.tenant} {space}", request.idempotency_key, call.now)
    if found and found[0] != fingerprint(request):
        raise mismatch()
    return found[1] if found else None


def keep(call: Call, space: str, request: Keyed, answer: Document, kept_ms: int) -> Document:
    """Remember `answer` for repetitions of `request`, and give it back."""
    until = call.now + kept_ms
    call.store.keep_replay(f"{call.tenant} {space}", request.idempotency_key, fingerprint(request), answer, until)
    return answer


def with_remaining_ttl(call: Call, answer: Document, row: Reservation | None = None) -> Document:
    """A repeated answer differs in one thing: remaining_ttl_ms is of now, and 0 once the hold is over."""
    if row is None and "reservation_id" in answer:
        row = call.store.reservation(answer["reservation_id"])
    if "remaining_ttl_ms" in answer:
        live = row is not None and row.status == "ACTIVE"
        answer["remaining_ttl_ms"] = max(0, answer["expires_at_ms"] - call.now) if live else 0
    return answer


def settled(row: Reservation, status: str, request: Keyed) -> Document | None:
    """The first answer if this very call settled the reservation. Raises 409 if the payload was another."""
    if row.status != status or row.settled_key != request.idempotency_key:
        return None
    if row.settled_hash != fingerprint(request):
        raise mismatch()
    answer: Document = json.loads(row.settled_answer or "")
    return answer


def settle(call: Call, row: Reservation, request: Keyed, path: list[Ledger], answer: Document) -> Document:
    """Write the end of a reservation and the ledgers after it; gives the whole answer."""
    call.store.save_ledgers(path)
    answer["balances"] = [balance(each) for each in path]
    row.status, row.finalized_at = answer["status"], call.now
    row.settled_key, row.settled_hash = request.idempotency_key, fingerprint(request)
    row.settled_answer = json.dumps(answer)
    call.store.finish(row, call.now)
    return answer
