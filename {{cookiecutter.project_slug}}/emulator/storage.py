"""All state, as JSON documents in one SQLite file; nothing is kept in memory. One request is one transaction.

WAL with synchronous=NORMAL: what is committed has reached the operating system, so it survives kill -9.
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
SCHEMA = Path(__file__).with_name("schema.sql").read_text("utf-8")


@dataclass
class Hold:
    """A reservation. `body` is what GET shows; `due_ms` is when it expires for good, or once over is forgotten."""

    tenant: str
    budgeted: list[str]
    due_ms: int
    body: Document
    overage_policy: str = ""
    max_extensions: int = 0
    extensions: int = 0
    settled: Document = field(default_factory=dict)


class Store:
    """The tables of schema.sql. Use everything within `transaction()`; names of columns come from our code only."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        self.db.executescript(SCHEMA)

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

    def find(self, table: str, where: str, *values: Any, order: str = "1", limit: int = -1) -> list[Document]:
        query = f"SELECT document FROM {table} WHERE {where} ORDER BY {order} LIMIT ?"  # noqa: S608
        return [json.loads(row[0]) for row in self.db.execute(query, (*values, limit))]

    def get(self, table: str, **columns: object) -> Document | None:
        """The one document of which the columns have these values, or None."""
        found = self.find(table, " AND ".join(f"{name} = ?" for name in columns), *columns.values())
        return found[0] if found else None

    def save(self, table: str, document: Document) -> None:
        """Insert, or replace the document of the same id."""
        query = f"INSERT INTO {table} VALUES (?) ON CONFLICT DO UPDATE SET document = excluded.document"  # noqa: S608
        self.db.execute(query, (json.dumps(document),))

    def delete(self, table: str, where: str = "true", *values: object) -> None:
        self.db.execute(f"DELETE FROM {table} WHERE {where}", values)  # noqa: S608

    def path(self, scopes: Iterable[str], unit: str, *, readable: bool = True) -> list[Ledger]:
        """Return the ledgers that exist among `scopes`, in order. Raises OverflowError for an unreadable one."""
        found = (self.get("ledgers", scope=scope, unit=unit) for scope in scopes)
        path = [Ledger(**document) for document in found if document]
        if readable and not all(each.readable for each in path):
            raise OverflowError("a ledger is beyond int64")
        return path

    def save_path(self, path: Iterable[Ledger]) -> None:
        for each in path:
            self.save("ledgers", vars(each))

    def holds(self, where: str, *values: Any, order: str = "1", limit: int = -1) -> list[Hold]:
        return [Hold(**row) for row in self.find("reservations", where, *values, order=order, limit=limit)]
