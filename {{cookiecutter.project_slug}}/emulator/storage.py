"""All state, as JSON documents in one SQLite file: nothing is kept in memory, so memory stays flat.

WAL with synchronous=NORMAL: a committed transaction has reached the operating system, so it survives kill -9 (a power
cut may cost the last ones, never consistency). One request is one transaction.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .ledger import Ledger

Document = dict[str, Any]

TABLES = {  # name: columns by which a document is found, primary key, further indices
    "clock": ("id", "id", ()),
    "tenants": ("id", "id", ()),
    "api_keys": ("id, tenant, prefix", "id", ("tenant", "prefix")),
    "ledgers": ("scope, unit, tenant", "scope, unit", ("tenant, scope, unit",)),
    "replays": ("space, key, until_ms", "space, key", ("until_ms",)),
    "reservations": (
        "reservation_id, tenant, status, idempotency_key, scope_path, reserved,"
        " created_at_ms, expires_at_ms, finalized_at_ms, due_ms",
        "reservation_id",
        ("tenant, reservation_id", "tenant, idempotency_key", "status, due_ms")
        + tuple(
            f"tenant, {column}, reservation_id"
            for column in ("scope_path", "status", "reserved", "created_at_ms", "expires_at_ms")
        ),
    ),
}


@dataclass
class Hold:
    """A reservation. `body` is what GET shows; `due_ms` is when it expires for good, or once over is forgotten."""

    tenant: str
    budgeted: list[str]
    overage_policy: str
    max_extensions: int
    due_ms: int
    body: Document
    extensions: int = 0
    settled: Document = field(default_factory=dict)

    def columns(self) -> Document:
        """What a reservation is found and sorted by; the names are those of sort_by."""
        names = (
            "reservation_id",
            "status",
            "idempotency_key",
            "scope_path",
            "created_at_ms",
            "expires_at_ms",
        )
        found_by = {name: self.body.get(name) for name in (*names, "finalized_at_ms")}
        return found_by | {
            "tenant": self.tenant,
            "reserved": self.body["reserved"]["amount"],
            "due_ms": self.due_ms,
        }


class Store:
    """The tables. Use everything within `transaction()`; table and column names come from our code only."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        self.db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; BEGIN;")
        for table, (columns, key, indices) in TABLES.items():
            self.db.execute(f"CREATE TABLE IF NOT EXISTS {table} ({columns}, document, PRIMARY KEY ({key}))")
            for number, index in enumerate(indices):
                self.db.execute(f"CREATE INDEX IF NOT EXISTS {table}_{number} ON {table} ({index})")
        self.db.execute("COMMIT")

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

    def find(
        self, table: str, where: str, *values: object, order: str = "1", limit: int = -1
    ) -> list[Document]:
        query = f"SELECT document FROM {table} WHERE {where} ORDER BY {order} LIMIT ?"  # noqa: S608
        return [json.loads(row[0]) for row in self.db.execute(query, (*values, limit))]

    def get(self, table: str, **columns: object) -> Document | None:
        """The one document of which the columns have these values, or None."""
        found = self.find(table, " AND ".join(f"{name} = ?" for name in columns), *columns.values())
        return found[0] if found else None

    def save(self, table: str, document: Document, **columns: object) -> None:
        """Insert, or replace what has the same primary key."""
        names, marks = ", ".join([*columns, "document"]), ", ".join("?" * (len(columns) + 1))
        key = TABLES[table][1]
        changing = [n for n in ("document","status", "expires_at_ms", "finalized_at_ms", "due_ms", "until_ms") if n in columns or n=="document"]
        sets = ", ".join(f"{n} = excluded.{n}" for n in changing)
        query = f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE SET {sets}"  # noqa: S608
        self.db.execute(query, (*columns.values(), json.dumps(document)))

    def delete(self, table: str, where: str = "true", *values: object) -> None:
        self.db.execute(f"DELETE FROM {table} WHERE {where}", values)  # noqa: S608

    def path(self, scopes: Iterable[str], unit: str) -> list[Ledger]:
        """The ledgers that exist among `scopes`, in the same order."""
        found = [self.get("ledgers", scope=scope, unit=unit) for scope in scopes]
        return [Ledger(**document) for document in found if document]

    def save_path(self, path: Iterable[Ledger]) -> None:
        for each in path:
            self.save("ledgers", vars(each), scope=each.scope, unit=each.unit, tenant=each.tenant_id)

    def holds(self, where: str, *values: object, order: str = "1", limit: int = -1) -> list[Hold]:
        return [
            Hold(**found) for found in self.find("reservations", where, *values, order=order, limit=limit)
        ]

    def save_hold(self, hold: Hold) -> None:
        self.save("reservations", vars(hold), **hold.columns())
