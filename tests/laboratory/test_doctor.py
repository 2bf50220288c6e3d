"""`doctor` looks at a thousand tenants while the person who has called it waits."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import pytest

from .conftest import Laboratory
from .processes import Tenant

TENANTS = 1_000
LONGEST_S = 10


def copy(database: Path, table: str, column: str, rows: str, change: Callable[[str, int], str]) -> None:
    """Add TENANTS - 1 copies of the one row that is found, its texts changed by `change`."""
    with closing(sqlite3.connect(database, timeout=30)) as open_database, open_database:
        found = open_database.execute(f"SELECT {column} FROM {table} WHERE {rows}")  # noqa: S608 - our own words
        names = [description[0] for description in found.description]
        (row,) = found.fetchall()

        def copies() -> Iterator[list[object]]:
            for number in range(1, TENANTS):
                yield [change(value, number) if isinstance(value, str) else value for value in row]

        places = ", ".join("?" * len(names))
        insert = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})"  # noqa: S608
        open_database.executemany(insert, copies())


def a_thousand_like(tenant: Tenant, app: Path, emulator: Path) -> None:
    with closing(sqlite3.connect(app)) as database:
        asked = "SELECT cycles_key_id FROM tenants WHERE id = ?"
        key: str = database.execute(asked, [tenant.id]).fetchone()[0]

    def change(text: str, number: int) -> str:
        return text.replace(tenant.id, f"{tenant.id}-{number}").replace(key, f"{key[:-4]}{number:04}")

    copy(app, "tenants", "*", f"id = '{tenant.id}'", change)
    copy(emulator, "tenants", "document", f"id = '{tenant.id}'", change)
    copy(emulator, "api_keys", "document", f"tenant = '{tenant.id}'", change)
    copy(emulator, "ledgers", "document", f"tenant = '{tenant.id}'", change)


@pytest.mark.long
def test_a_thousand_tenants_are_examined_within_ten_seconds(
    laboratory: Laboratory, figure: Callable[[str], None]
) -> None:
    app = laboratory.installed("clinic")
    tenant = app.add_tenant()
    a_thousand_like(tenant, app.journal.parent / "app.sqlite3", app.journal.parent.parent / "emulator.sqlite3")
    began, worked = time.monotonic(), getrusage(RUSAGE_CHILDREN)
    checks = app.done("doctor")["checks"]
    took, ended = time.monotonic() - began, getrusage(RUSAGE_CHILDREN)
    cpu = ended.ru_utime + ended.ru_stime - worked.ru_utime - worked.ru_stime
    assert checks[-1]["message"] == f"{TENANTS} of {TENANTS} open tenants are in order"
    figure(f"{laboratory.project.framework}: {took:.1f} s for {TENANTS:,} tenants, {cpu:.1f} s of its own CPU")
    assert took < LONGEST_S
