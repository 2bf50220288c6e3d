"""All state, in one SQLite file: nothing is kept in memory, so memory stays flat and a killed process loses nothing.

WAL with synchronous=NORMAL: a committed transaction has reached the operating system, so it survives kill -9 (a power
cut may cost the last ones, never consistency). One request is one transaction.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .ledger import Ledger

Document = dict[str, Any]

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE tenants (id TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, prefix TEXT NOT NULL UNIQUE, digest TEXT NOT NULL,
    document TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX api_keys_of_tenant ON api_keys (tenant_id, id);
CREATE TABLE ledgers (
    tenant_id TEXT NOT NULL, scope TEXT NOT NULL, unit TEXT NOT NULL, allocated INTEGER NOT NULL,
    reserved INTEGER NOT NULL, spent INTEGER NOT NULL, debt INTEGER NOT NULL, overdraft_limit INTEGER NOT NULL,
    is_over_limit INTEGER NOT NULL, status TEXT NOT NULL, caps TEXT, document TEXT NOT NULL,
    PRIMARY KEY (scope, unit)
) WITHOUT ROWID;
CREATE INDEX ledgers_of_tenant ON ledgers (tenant_id, scope, unit);
CREATE TABLE reservations (
    id TEXT NOT NULL UNIQUE, tenant_id TEXT NOT NULL, status TEXT NOT NULL, idempotency_key TEXT NOT NULL,
    unit TEXT NOT NULL, amount INTEGER NOT NULL, scope_path TEXT NOT NULL, budgeted TEXT NOT NULL,
    overage_policy TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, grace_ms INTEGER NOT NULL,
    extensions INTEGER NOT NULL, max_extensions INTEGER NOT NULL, due INTEGER NOT NULL, charged INTEGER,
    finalized_at INTEGER, settled_key TEXT, settled_hash TEXT, settled_answer TEXT, document TEXT NOT NULL
);
CREATE INDEX reservations_by_id ON reservations (tenant_id, id);
CREATE INDEX reservations_by_key ON reservations (tenant_id, idempotency_key);
CREATE INDEX reservations_by_path ON reservations (tenant_id, scope_path, id);
CREATE INDEX reservations_by_status ON reservations (tenant_id, status, id);
CREATE INDEX reservations_by_amount ON reservations (tenant_id, amount, id);
CREATE INDEX reservations_by_creation ON reservations (tenant_id, created_at, id);
CREATE INDEX reservations_by_expiry ON reservations (tenant_id, expires_at, id);
CREATE INDEX reservations_to_expire ON reservations (due) WHERE status = 'ACTIVE';
CREATE INDEX reservations_to_forget ON reservations (due) WHERE status <> 'ACTIVE';
CREATE TABLE replays (
    space TEXT NOT NULL, key TEXT NOT NULL, hash TEXT NOT NULL, answer TEXT NOT NULL, until INTEGER NOT NULL,
    PRIMARY KEY (space, key)
) WITHOUT ROWID;
CREATE INDEX replays_to_forget ON replays (until);
"""
LEDGER = (
    "tenant_id, scope, unit, allocated, reserved, spent, debt, overdraft_limit, is_over_limit, status, caps"
)
SWEEP_BATCH = 1000
KEPT_MS = 30 * 24 * 3600 * 1000


@dataclass(slots=True)
class Reservation:
    """A row of `reservations`. `due` is when it expires for good, or once finished when it is forgotten (ms)."""

    id: str
    tenant_id: str
    status: str
    idempotency_key: str
    unit: str
    amount: int
    scope_path: str
    budgeted: list[str]
    overage_policy: str
    created_at: int
    expires_at: int
    grace_ms: int
    extensions: int
    max_extensions: int
    due: int
    charged: int | None
    finalized_at: int | None
    settled_key: str | None
    settled_hash: str | None
    settled_answer: str | None
    document: Document


COLUMNS = tuple(field.name for field in fields(Reservation))


class UnusableData(Exception):
    """The data file belongs to another version of the emulator."""


class Store:
    """The tables, with one method a question. Call everything within `transaction()`."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        self.db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY;")
        version = self.db.execute("PRAGMA user_version").fetchone()[0]
        if version not in {0, SCHEMA_VERSION}:
            raise UnusableData(f"{path} was written by another version of the emulator; delete it to start anew")
        if version == 0:
            self.db.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything within is written together, or on an exception not at all."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    def reset(self) -> None:
        for table in ("settings", "tenants", "api_keys", "ledgers", "reservations", "replays"):
            self.db.execute(f"DELETE FROM {table}")  # noqa: S608

    def setting(self, name: str) -> int:
        row = self.db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def save_setting(self, name: str, value: int) -> None:
        self.db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def tenant(self, tenant_id: str) -> Document | None:
        row = self.db.execute("SELECT document FROM tenants WHERE id = ?", (tenant_id,)).fetchone()
        return _document(row[0]) if row else None

    def tenants(self, after: str, limit: int) -> list[Document]:
        rows = self.db.execute("SELECT document FROM tenants WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
        return [_document(row[0]) for row in rows]

    def save_tenant(self, tenant: Document) -> None:
        self.db.execute("INSERT OR REPLACE INTO tenants VALUES (?, ?)", (tenant["tenant_id"], json.dumps(tenant)))

    def key(self, key_id: str) -> Document | None:
        row = self.db.execute("SELECT document FROM api_keys WHERE id = ?", (key_id,)).fetchone()
        return _document(row[0]) if row else None

    def key_by_prefix(self, prefix: str) -> tuple[str, Document] | None:
        """(digest of the secret, the key), or None."""
        row = self.db.execute("SELECT digest, document FROM api_keys WHERE prefix = ?", (prefix,)).fetchone()
        return (row[0], _document(row[1])) if row else None

    def keys(self, tenant_id: str, after: str = "", limit: int = -1) -> list[Document]:
        rows = self.db.execute(
            "SELECT document FROM api_keys WHERE tenant_id = ? AND id > ? ORDER BY id LIMIT ?",
            (tenant_id, after, limit),
        )
        return [_document(row[0]) for row in rows]

    def add_key(self, key: Document, digest: str) -> None:
        values = (key["key_id"], key["tenant_id"], key["key_prefix"], digest, json.dumps(key))
        self.db.execute("INSERT INTO api_keys VALUES (?, ?, ?, ?, ?)", values)

    def save_key(self, key: Document) -> None:
        self.db.execute("UPDATE api_keys SET document = ? WHERE id = ?", (json.dumps(key), key["key_id"]))

    def ledger(self, scope: str, unit: str) -> Ledger | None:
        row = self.db.execute(
            f"SELECT {LEDGER} FROM ledgers WHERE scope = ? AND unit = ?",  # noqa: S608
            (scope, unit),
        ).fetchone()
        return _ledger(row) if row else None

    def path(self, scopes: Iterable[str], unit: str) -> list[Ledger]:
        """The ledgers that exist among `scopes`, in the same order."""
        return [ledger for scope in scopes if (ledger := self.ledger(scope, unit))]

    def units(self, scope: str) -> set[str]:
        return {row[0] for row in self.db.execute("SELECT unit FROM ledgers WHERE scope = ?", (scope,))}

    def ledgers(
        self, tenant_id: str | None, segments: Iterable[str] = (), after: tuple[str, str] = ("", ""), limit: int = -1
    ) -> list[Ledger]:
        """Of one tenant or (None) of all, those whose path has every one of `segments`, by scope and unit."""
        where, values = ["(scope, unit) > (?, ?)"], [*after]
        if tenant_id is not None:
            where.append("tenant_id = ?")
            values.append(tenant_id)
        for segment in segments:
            where.append("instr('/' || scope || '/', ?) > 0")
            values.append(f"/{segment}/")
        query = f"SELECT {LEDGER} FROM ledgers WHERE {' AND '.join(where)} ORDER BY scope, unit LIMIT ?"  # noqa: S608
        return [_ledger(row) for row in self.db.execute(query, (*values, limit))]

    def ledger_document(self, ledger: Ledger) -> Document:
        """What only the admin plane shows of a ledger: its id, times, policies."""
        row = self.db.execute(
            "SELECT document FROM ledgers WHERE scope = ? AND unit = ?", (ledger.scope, ledger.unit)
        ).fetchone()
        return _document(row[0])

    def add_ledger(self, ledger: Ledger, document: Document) -> None:
        values = (ledger.tenant_id, ledger.scope, ledger.unit, *_numbers(ledger), json.dumps(document))
        self.db.execute("INSERT INTO ledgers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    def save_ledgers(self, ledgers: Iterable[Ledger]) -> None:
        self.db.executemany(
            "UPDATE ledgers SET allocated = ?, reserved = ?, spent = ?, debt = ?, overdraft_limit = ?,"
            " is_over_limit = ?, status = ?, caps = ? WHERE scope = ? AND unit = ?",
            [(*_numbers(ledger), ledger.scope, ledger.unit) for ledger in ledgers],
        )

    def save_ledger_document(self, ledger: Ledger, document: Document) -> None:
        self.db.execute(
            "UPDATE ledgers SET document = ? WHERE scope = ? AND unit = ?",
            (json.dumps(document), ledger.scope, ledger.unit),
        )

    def reservation(self, reservation_id: str) -> Reservation | None:
        row = self.db.execute("SELECT * FROM reservations WHERE id = ?", (reservation_id,)).fetchone()
        return _reservation(row) if row else None

    def reservations(self, where: str, values: Iterable[object], order: str, limit: int) -> list[Reservation]:
        """Rows by conditions and an order that the caller composes of column names and `?` only."""
        query = f"SELECT * FROM reservations WHERE {where} ORDER BY {order} LIMIT ?"  # noqa: S608
        return [_reservation(row) for row in self.db.execute(query, (*values, limit))]

    def live(self, tenant_id: str | None = None) -> list[Reservation]:
        """Every reservation that still holds budget."""
        if tenant_id is None:
            return self.reservations("status = 'ACTIVE'", (), "due", -1)
        return self.reservations("tenant_id = ? AND status = 'ACTIVE'", (tenant_id,), "id", -1)

    def count_live(self) -> int:
        return int(self.db.execute("SELECT count(*) FROM reservations WHERE status = 'ACTIVE'").fetchone()[0])

    def to_expire(self, now: int) -> list[Reservation]:
        return self.reservations("status = 'ACTIVE' AND due < ?", (now,), "due", SWEEP_BATCH)

    def add_reservation(self, row: Reservation) -> None:
        values = {name: getattr(row, name) for name in COLUMNS}
        values |= {"budgeted": json.dumps(row.budgeted), "document": json.dumps(row.document)}
        marks = ", ".join(f":{name}" for name in COLUMNS)
        self.db.execute(f"INSERT INTO reservations VALUES ({marks})", values)  # noqa: S608

    def finish(self, row: Reservation, now: int) -> None:
        """Save a reservation that has become COMMITTED, RELEASED or EXPIRED; it is kept for 30 days."""
        self.db.execute(
            "UPDATE reservations SET status = ?, due = ?, charged = ?, finalized_at = ?, settled_key = ?,"
            " settled_hash = ?, settled_answer = ?, document = ? WHERE id = ?",
            (row.status, now + KEPT_MS, row.charged, row.finalized_at, row.settled_key)
            + (row.settled_hash, row.settled_answer, json.dumps(row.document), row.id),
        )

    def save_expiry(self, row: Reservation) -> None:
        self.db.execute(
            "UPDATE reservations SET expires_at = ?, due = ?, extensions = ? WHERE id = ?",
            (row.expires_at, row.due, row.extensions, row.id),
        )

    def detach(self, tenant_id: str) -> None:
        """The tenant's live reservations hold nothing any more (its ledgers got the holds back when it closed)."""
        self.db.execute("UPDATE reservations SET budgeted = '[]' WHERE tenant_id = ? AND status = 'ACTIVE'", (tenant_id,))

    def replay(self, space: str, key: str, now: int) -> tuple[str, Document] | None:
        """(hash of the payload, the answer) of an earlier call with this idempotency key, or None."""
        row = self.db.execute(
            "SELECT hash, answer FROM replays WHERE space = ? AND key = ? AND until > ?", (space, key, now)
        ).fetchone()
        return (row[0], _document(row[1])) if row else None

    def keep_replay(self, space: str, key: str, payload: str, answer: Document, until: int) -> None:
        values = (space, key, payload, json.dumps(answer), until)
        self.db.execute("INSERT OR REPLACE INTO replays VALUES (?, ?, ?, ?, ?)", values)

    def forget(self, now: int) -> None:
        """Drop what is past its time: finished reservations and idempotency records, one batch of each."""
        self.db.execute(
            "DELETE FROM reservations WHERE rowid IN"
            " (SELECT rowid FROM reservations WHERE status <> 'ACTIVE' AND due < ? LIMIT ?)",
            (now, SWEEP_BATCH),
        )
        self.db.execute(
            "DELETE FROM replays WHERE (space, key) IN (SELECT space, key FROM replays WHERE until <= ? LIMIT ?)",
            (now, SWEEP_BATCH),
        )


def _document(text: str) -> Document:
    document: Document = json.loads(text)
    return document


def _numbers(ledger: Ledger) -> tuple[object, ...]:
    amounts = (ledger.allocated, ledger.reserved, ledger.spent, ledger.debt, ledger.overdraft_limit)
    return (*amounts, ledger.is_over_limit, ledger.status, ledger.caps)


def _ledger(row: tuple[Any, ...]) -> Ledger:
    return Ledger(*row[:8], is_over_limit=bool(row[8]), status=row[9], caps=row[10])


def _reservation(row: tuple[Any, ...]) -> Reservation:
    values = dict(zip(COLUMNS, row, strict=True))
    values |= {"budgeted": json.loads(values["budgeted"]), "document": json.loads(values["document"])}
    return Reservation(**values)
