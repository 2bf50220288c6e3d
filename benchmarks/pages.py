"""How long the dashboard's pages take with 10,000 tenants: `uv run python -m benchmarks.pages [--tenants 10000]`.

Bakes and installs a project of each framework, writes tenants, their balances and 1,000,000 calls of a month straight
into its SQLite database, and asks one worker for pages, one after another, as an operator who has signed in. Cycles is
not asked: balances are as if traffic kept them fresh. Prints a table.
"""

import argparse
import os
import platform
import random
import re
import secrets
import sqlite3
import statistics
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import httpx

from benchmarks.speed.projects import Project, make
from tests.conftest import CHOICES

PORT = 24_310
CALLS = 1_000_000
SAMPLES = 100
PASSWORD = secrets.token_urlsafe(16)
Row = dict[str, Any]
DICE = random.Random(1)  # noqa: S311


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=10_000)
    tenants = parser.parse_args().tenants
    measured = {framework: measure(framework, tenants) for framework in CHOICES["framework"]}
    print(f"| {tenants:,} tenants | " + " | ".join(f"{framework} p50, p95" for framework in measured) + " |")
    print("|---|" + "---|" * len(measured))
    for page in next(iter(measured.values())):
        print(f"| {page} | " + " | ".join(told[page] for told in measured.values()) + " |")
    print(f"\n{SAMPLES} requests each, {os.cpu_count()} cores, {platform.system()}.")


def measure(framework: str, tenants: int) -> dict[str, str]:
    """What each page takes, in words."""
    with tempfile.TemporaryDirectory() as scratch:
        project = make(framework, Path(scratch))
        command = [str(project.python), "-m", "acme_chat", "operators", "add", "olga", "--replace", "--password-stdin"]
        environment = project.environment | {"DASHBOARD_INTERVAL": "86400", "APP_ENV": "development"}
        subprocess.run(command, cwd=project.folder, env=environment, input=PASSWORD.encode(), check=True)
        fill(project, tenants)
        with serving(project, environment) as operator:
            return {page: told(operator, address) for page, address in pages(tenants).items()}


def pages(tenants: int) -> dict[str, Callable[[int], str]]:
    """By name, the address of the nth sample."""
    last = -(-tenants // 25)
    return {
        "the table's first page, spend of 30 days": lambda _: "?",
        "spend of 24 hours by model": lambda _: "?span=24h&by=model",
        "its last page": lambda _: f"?page={last}",
        "sorted by burn rate": lambda _: "?sort=burn&order=desc",
        "sorted by time of running out, in the middle": lambda n: f"?sort=runs_out&page={last // 2 + n % 5}",
        "those that need attention": lambda _: "?show=attention",
        "searched, each time for another text": lambda n: f"?q={n:03}",
        "a tenant's page": lambda n: f"tenants/t-{n:05}",
        "calls": lambda _: "calls",
        "calls of a fortnight ago": lambda _: f"calls?before={datetime.now(UTC) - timedelta(days=14):%Y-%m-%dT%H:%M}",
        "calls of a tenant": lambda n: f"calls?tenant=t-{n:05}",
        "calls with a rare end user": lambda n: f"calls?end_user=nobody-{n}",
        "a tenant's call with a request ID": lambda n: f"calls?tenant=t-{n:05}&request_id={n}",
    }


def told(operator: httpx.Client, address: Callable[[int], str]) -> str:
    times, size = [], 0
    for number in range(SAMPLES):
        start = time.perf_counter()
        answer = operator.get(f"/dashboard/{address(number)}")
        times.append((time.perf_counter() - start) * 1000)
        assert answer.status_code == 200, answer.text
        size = len(answer.content)
    return f"{statistics.median(times):.0f} ms, {sorted(times)[SAMPLES * 95 // 100]:.0f} ms ({size // 1024} KB)"


@contextmanager
def serving(project: Project, environment: dict[str, str]) -> Iterator[httpx.Client]:
    """The app with one worker, and an operator's browser that has signed in."""
    serve = [str(project.python), "-m", "acme_chat", "serve"]
    settings = environment | {"PORT": str(PORT), "WORKERS": "1"}
    silent = subprocess.DEVNULL
    running = subprocess.Popen(serve, cwd=project.folder, env=settings, stdout=silent, stderr=silent)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", headers={"Accept": "text/html"}, timeout=60) as client:
            wait_for(client)
            fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', client.get("/dashboard/login").text))
            form = {**fields, "username": "olga", "password": PASSWORD}
            assert client.post("/dashboard/login", data=form).status_code == 303
            yield client
    finally:
        running.terminate()
        running.wait(30)


def wait_for(client: httpx.Client) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            client.get("/healthz").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the app does not start")


def fill(project: Project, tenants: int) -> None:
    """The tables are the same in both frameworks, and so are their columns."""
    now = datetime.now(UTC)
    path = project.environment["DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as database, database:
        have = dict(database.execute("SELECT id, name FROM tenants").fetchall())
        names = {f"t-{number:05}": f"Customer {DICE.randrange(10**6):06}" for number in range(tenants - len(have))}
        insert(database, "tenants", (tenant_row(tenant, name, now) for tenant, name in names.items()))
        database.execute("DELETE FROM balances")
        insert(database, "balances", (balance_row(tenant, now) for tenant in {**have, **names}))
        callers = list(names)
        insert(database, "calls", (call_row(DICE.choice(callers), now) for _ in range(CALLS)))


def insert(database: sqlite3.Connection, table: str, rows: Iterator[Row]) -> None:
    first = next(rows)
    columns, places = ", ".join(first), ", ".join(f":{column}" for column in first)
    query = f"INSERT INTO {table} ({columns}) VALUES ({places})"  # noqa: S608
    database.executemany(query, chain([first], rows))


def moment(at: datetime) -> str:
    """As both frameworks keep a time in SQLite."""
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"


def tenant_row(tenant: str, name: str, now: datetime) -> Row:
    row: Row = {"id": tenant, "name": name, "status": "active", "budget": 10**9, "overdraft": 0, "onboarded": 1}
    row |= {"period_budget": 10**9, "every": "none", "time_zone": "UTC", "alert_urls": "", "observed": 0, "version": 0}
    row |= dict.fromkeys(("sealed_key", "cycles_key_id", "cycles_key_name"), "")
    row |= {"created_at": moment(now - timedelta(days=90)), "cycles_key_expires_at": moment(now + timedelta(days=200))}
    return row


def balance_row(tenant: str, now: datetime) -> Row:
    spent = DICE.randrange(10**9)
    row: Row = {"tenant_id": tenant, "at": moment(now), "allocated": 10**9, "spent": spent}
    row |= {"reserved": 0, "remaining": 10**9 - spent, "debt": 0, "overdraft_limit": 0, "is_over_limit": 0}
    return row | {"reported": 10**9}


def call_row(tenant: str, now: datetime) -> Row:
    refused = DICE.random() < 0.1
    row: Row = {"id": str(uuid.uuid4()), "at": moment(now - timedelta(days=30) * DICE.random()), "tenant": tenant}
    row |= {"end_user": DICE.choice(("ada", "grace", "linus")), "route": "chat", "model": "demo-1", "hold": 10**6}
    row |= {"outcome": "budget_exceeded" if refused else "charged", "cost": 0 if refused else 10**5, "uncharged": 0}
    row |= {"input_tokens": 100, "output_tokens": 50, "duration_ms": 900}
    row |= {"remaining": DICE.randrange(10**9)}
    return row | {"request_id": secrets.token_hex(16), "reservation_id": "r"}


if __name__ == "__main__":
    main()
