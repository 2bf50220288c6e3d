"""The runtime plane's reads: balances, one reservation, lists of them (Cycles facts, section 7)."""

import base64
import hashlib
import json
from datetime import datetime
from typing import Any

from .exchange import Answer, Call, Refusal, amount, balance, internal, invalid
from .runtime import authorize, expired, owned
from .schemas import LEVELS
from .storage import Document, Reservation

STATUSES = {"ACTIVE", "COMMITTED", "RELEASED", "EXPIRED"}
# Indexed columns, so that lists stay fast; equal values are ordered by id, in the same direction.
SORTS = {
    "reservation_id": "id",
    "tenant": "tenant_id",
    "scope_path": "scope_path",
    "status": "status",
    "reserved": "amount",
    "created_at_ms": "created_at",
    "expires_at_ms": "expires_at",
}
WINDOWS = {
    "from": "created_at >= ?",
    "to": "created_at <= ?",
    "expires_from": "expires_at >= ?",
    "expires_to": "expires_at <= ?",
    "finalized_from": "finalized_at >= ?",
    "finalized_to": "finalized_at <= ?",
}
INCLUDES = {"metadata", "committed_metadata", "evidence"}


def balances(call: Call) -> Answer:
    """GET /v1/balances: the ledgers whose path has every segment asked for, all units and statuses."""
    if not any(level in call.query for level in LEVELS):
        raise invalid("At least one of tenant/workspace/app/workflow/agent/toolset must be provided")
    limit = checked_limit(call)
    tenant = call.query.get("tenant", call.tenant or "")
    authorize(call, tenant)
    segments = [f"{level}:{call.query[level].lower()}" for level in LEVELS[1:] if level in call.query]
    cursor = decode(call.query["cursor"], 2) if call.query.get("cursor") else ("", "")
    found = call.store.ledgers(tenant, segments, (str(cursor[0]), str(cursor[1])), limit + 1)
    more = len(found) > limit
    after = encode(found[limit - 1].scope, found[limit - 1].unit) if more else None
    return 200, {"balances": [balance(each) for each in found[:limit]], "has_more": more, "next_cursor": after}


def reservation(call: Call, reservation_id: str) -> Answer:
    """GET /v1/reservations/{id}. An expired one is 410, though lists still show it."""
    row = owned(call, reservation_id)
    if row.status == "EXPIRED":
        raise expired()
    return 200, shown(row, INCLUDES)


def reservations(call: Call) -> Answer:
    """GET /v1/reservations: one tenant's, filtered and sorted, by pages."""
    query = call.query
    limit = checked_limit(call)
    if "status" in query and query["status"] not in STATUSES:
        raise invalid(f"Invalid status filter: {query['status']}")
    tenant = query.get("tenant", call.tenant)
    if not tenant and call.tenant is None:
        raise invalid("tenant query parameter is required when using admin key authentication")
    authorize(call, tenant)
    include = {name.strip() for name in query.get("include", "").split(",")} - {""}
    if not include <= INCLUDES:
        raise invalid(f"Invalid include: {query['include']}")

    where, values = filters(call, tenant or "")
    digest = hashlib.sha256(json.dumps([where, values]).encode()).hexdigest()[:16]
    sort_by, direction, after = order_of(call, digest)
    column = SORTS[sort_by or "reservation_id"]
    if after:
        where.append(f"({column}, id) {'<' if direction == 'desc' else '>'} (?, ?)")
        values += after
    rows = call.store.reservations(
        " AND ".join(where), values, f"{column} {direction}, id {direction}", limit + 1
    )
    cursor = None
    if len(rows) > limit:
        last = rows[limit - 1]
        attribute = "id" if column == "id" else column
        cursor = encode(sort_by, direction, digest, getattr(last, attribute), last.id)
    shown_rows = [shown(row, include & {"metadata", "committed_metadata"}) for row in rows[:limit]]
    return 200, {"reservations": shown_rows, "has_more": cursor is not None, "next_cursor": cursor}


def checked_limit(call: Call) -> int:
    """1 to 200. Raises 400 outside of it, and 500 for what is no number, as the real server does."""
    try:
        limit = call.limit()
    except ValueError:
        raise internal() from None
    if not 1 <= limit <= 200:
        raise invalid("limit must be between 1 and 200")
    return limit


def filters(call: Call, tenant: str) -> tuple[list[str], list[Any]]:
    """The conditions of a list and their values."""
    where: list[str] = ["tenant_id = ?"]
    values: list[Any] = [tenant]
    for name in ("status", "idempotency_key"):
        if name in call.query:
            where.append(f"{name} = ?")
            values.append(call.query[name])
    for level in LEVELS[1:]:
        if level in call.query:
            where.append("instr('/' || scope_path || '/', ?) > 0")
            values.append(f"/{level}:{call.query[level].lower()}/")
    bounds = {name: milliseconds(name, call.query[name]) for name in WINDOWS if call.query.get(name)}
    for name, bound in bounds.items():
        where.append(WINDOWS[name])
        values.append(bound)
    for start in ("from", "expires_from", "finalized_from"):
        end = start.replace("from", "to")
        if start in bounds and end in bounds and bounds[start] > bounds[end]:
            raise invalid(f"{start} must not be after {end}")
    return where, values


def order_of(call: Call, digest: str) -> tuple[str | None, str, list[Any]]:
    """(sort_by or None, direction, the last row's value and id to go on from). A cursor carries its own order."""
    sort_by, direction = call.query.get("sort_by"), call.query.get("sort_dir")
    if sort_by is not None and sort_by.lower() not in SORTS:
        raise invalid(f"Invalid sort_by: {sort_by}")
    if direction is not None and direction.lower() not in {"asc", "desc"}:
        raise invalid(f"Invalid sort_dir: {direction}")
    cursor = decode(call.query["cursor"], 5) if call.query.get("cursor") else None
    if cursor is None:
        if sort_by is None and direction is None:
            return None, "asc", []
        return (sort_by or "created_at_ms").lower(), (direction or "desc").lower(), []
    if cursor[0] is not None:
        asked = ((sort_by or cursor[0]).lower(), (direction or cursor[1]).lower(), digest)
        if asked != (cursor[0], cursor[1], cursor[2]) or asked[0] not in SORTS:
            raise invalid("cursor is not valid for the requested sort_by / sort_dir / filters")
    elif sort_by is not None or direction is not None:
        raise invalid("cursor contains an invalid sorted-list boundary")
    return cursor[0], "desc" if cursor[1] == "desc" else "asc", list(cursor[3:])


def milliseconds(name: str, value: str) -> int:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise invalid(f"{name} must be an ISO-8601 instant")
    return int(moment.timestamp() * 1000)


def encode(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def decode(cursor: str, length: int) -> tuple[Any, ...]:
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor))
    except ValueError:
        parts = None
    if not isinstance(parts, list) or len(parts) != length or any(isinstance(part, list | dict) for part in parts):
        raise invalid("cursor is not valid")
    return tuple(parts)


def shown(row: Reservation, include: set[str]) -> Document:
    """A row as lists and details show it: nulls only inside subject and action."""
    body: Document = {
        "reservation_id": row.id,
        "status": row.status,
        "idempotency_key": row.idempotency_key,
        "subject": row.document["subject"],
        "action": row.document["action"],
        "reserved": amount(row.unit, row.amount),
        "created_at_ms": row.created_at,
        "expires_at_ms": row.expires_at,
    }
    if row.finalized_at is not None:
        body["finalized_at_ms"] = row.finalized_at
    body |= {"scope_path": row.scope_path, "affected_scopes": row.document["affected_scopes"]}
    if row.charged is not None:
        body["committed"] = amount(row.unit, row.charged)
    return body | {name: row.document[name] for name in include if name in row.document}
