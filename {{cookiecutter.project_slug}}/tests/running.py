"""The app and the emulator as real processes."""

import json
import os
import random
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

import dev_identity
import dev_tenancy

from .commands import Running, run_module
from .live import LIVE, TAG
from .places import OWN, subject_of

ROOT = Path(__file__).parent.parent
PACKAGE = "{{ cookiecutter.__package }}"
ACME, GLOBEX = f"acme{TAG}", f"globex{TAG}"
ADMIN_KEY = os.environ["CYCLES_ADMIN_API_KEY"] if LIVE else "admin-key-of-the-tests"
ADDED: set[str] = set()
"""Cycles tenants that the tests created."""
# no other settings; imports come from here, whatever is installed
STARTED_WITH = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
TLS = httpx.create_ssl_context()  # shared: it takes 35 ms to create
HTTP = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), verify=TLS)  # no connection outlives its response
MIGRATED: list[Path] = []
"""A migrated, empty database, once there is one."""
PORTS = count(random.randrange(20_000, 30_000))  # noqa: S311 - parallel runs rarely try the same port at once
START_S = 60
STOP_S = 20


def free_port() -> int:
    """Return a port that nobody listens on, below those of outgoing connections."""
    while True:
        port = next(PORTS)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def wait_until(condition: Any, seconds: float = 10.0, what: str = "") -> Any:
    """Return the first true result of `condition()`; fail the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not in {seconds} s: {what or condition}"
        time.sleep(0.02)
    return result


@contextmanager
def process(
    arguments: list[str], folder: Path, environment: dict[str, str], log: Path | None = None
) -> Iterator[Running]:
    """Run `python -m ...` in `folder`, and end it with SIGTERM.

    Its output goes to `log`, which is copied to our stderr at the end, or to our stderr at once.
    """
    module, *more = arguments
    running = Running(module, more, folder, STARTED_WITH | environment, {2: log} if log else {})
    try:
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(STOP_S)
        finally:
            running.kill()
            running.wait()
            if log and log.exists():
                sys.stderr.write(log.read_text(encoding="utf-8"))


def wait_ready(url: str, running: Running) -> None:
    def answers() -> bool:
        assert running.poll() is None, "the process has exited"
        try:
            return HTTP.get(url).is_success
        except httpx.TransportError:
            return False

    wait_until(answers, START_S, url)


def scope_of(tenant: str) -> str:
    """Return the scope of the ledger that pays for a tenant's calls."""
    return "/".join(f"{level}:{name}" for level, name in subject_of(tenant).items())


@dataclass(frozen=True)
class Emulator:
    """Cycles: the emulator with its control plane, or with LIVE=1 the real servers."""

    url: str
    admin_url: str

    def control(self, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> Any:
        """Call the emulator's control plane. Skip the test with LIVE=1."""
        only_emulated()
        headers = {"X-Admin-API-Key": ADMIN_KEY}
        answer = HTTP.request(method, f"{self.url}/_emulator/{path}", json=body, headers=headers)
        answer.raise_for_status()
        return answer.json()

    def fault(self, kind: str, operation: str, times: int = 1, **more: Any) -> None:
        self.control("faults", {"kind": kind, "operation": operation, "times": times, **more})

    def clear_faults(self) -> None:
        self.control("faults", method="DELETE")

    def ledger(self, tenant: str) -> dict[str, Any]:
        """Return the tenant's own ledger: its status, and amounts in microcents."""
        place = {"tenant_id": subject_of(tenant)["tenant"], "scope_prefix": scope_of(tenant)}
        rows = self.listed(f"{self.admin_url}/v1/admin/budgets", "ledgers", **place)
        row = next(row for row in rows if row["scope"] == scope_of(tenant))
        amounts = {name: value["amount"] for name, value in row.items() if isinstance(value, dict)}
        return {"status": row["status"], "spent": 0, "reserved": 0, "debt": 0, **amounts}

    def live_holds(self, tenant: str) -> int:
        return len(self.listed(f"{self.url}/v1/reservations", "reservations", status="ACTIVE", **subject_of(tenant)))

    def close(self, cycles_tenant: str) -> None:
        """Close a Cycles tenant, if it exists, with its keys and ledgers."""
        url = f"{self.admin_url}/v1/admin/tenants/{cycles_tenant}"
        HTTP.patch(url, json={"status": "CLOSED"}, headers={"X-Admin-API-Key": ADMIN_KEY})

    def listed(self, url: str, member: str, **query: str) -> list[dict[str, Any]]:
        """Return the rows of all pages of a list."""
        rows: list[dict[str, Any]] = []
        while True:
            answer = HTTP.get(url, params=query, headers={"X-Admin-API-Key": ADMIN_KEY})
            page = answer.raise_for_status().json()
            rows += page[member]
            if not page.get("next_cursor"):
                return rows
            query["cursor"] = page["next_cursor"]


def unsettled(journal: Path) -> int:
    """Return how many settlements are in the outbox of a journal folder."""
    with closing(sqlite3.connect(f"file:{journal}/outbox.sqlite3?mode=rw", uri=True)) as outbox:
        count: int = outbox.execute("SELECT count(*) FROM settlements").fetchone()[0]
        return count


def only_emulated() -> None:
    if LIVE:
        pytest.skip("needs the emulator's faults or clock, or an emulator of its own")


@contextmanager
def run_emulator(folder: Path, port: int | None = None) -> Iterator[Emulator]:
    only_emulated()
    port = port or free_port()
    arguments = ["emulator", "--port", str(port), "--data", str(folder / "emulator.sqlite3")]
    with process([*arguments, "--admin-key", ADMIN_KEY], folder, {}) as running:
        wait_ready(f"http://127.0.0.1:{port}/actuator/health/readiness", running)
        yield Emulator(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}")


@dataclass
class App:
    """An installed app: its environment, its CLI and, while it serves, its URL."""

    folder: Path
    environment: dict[str, str]
    url: str = ""
    running: Running | None = None
    tenants: dict[str, dict[str, Any]] = field(default_factory=dict)
    operator: dict[str, str] = field(default_factory=dict)
    log: Path | None = None

    def cli(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        if arguments[:2] == ("tenants", "add"):
            ADDED.add(subject_of(arguments[2])["tenant"])
        return run_module(PACKAGE, [*arguments], self.folder, STARTED_WITH | self.environment, stdin)

    def done(self, *arguments: str, stdin: str = "") -> Any:
        """Run a command with --json and return what it printed. Fail the test if the command fails."""
        answer = self.cli(*arguments, "--json", stdin=stdin)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return json.loads(answer.stdout)

    def add_tenant(self, budget: str = "1.00", tenant: str = "", *more: str) -> dict[str, Any]:
        """Add a tenant; return its `id` and the `headers` of its callers."""
        tenant = tenant or f"t-{secrets.token_hex(4)}{TAG}"
        added = self.done("tenants", "add", tenant, "--name", tenant, "--budget", budget, *more)
        self.tenants[tenant] = {"id": tenant, "headers": self.headers(tenant, added["api_key"])}
        return self.tenants[tenant]

    def headers(self, tenant: str, api_key: str | None) -> dict[str, str]:
        """Return what a caller of the tenant sends. `api_key` is from `tenants add`."""
        return dev_identity.headers(tenant, api_key, self.environment, self.done)

    def metric(self, name: str) -> float:
        """Return the value of a metric without labels."""
        headers = {"Authorization": f"Bearer {self.environment['METRICS_TOKEN']}"}
        lines = HTTP.get(f"{self.url}/metrics", headers=headers).text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    @contextmanager
    def serving(self, **environment: str) -> Iterator["App"]:
        """Serve on a free port, with these settings on top. Output goes to `log`, if set."""
        port = free_port()
        settings = {**self.environment, "PORT": str(port), **environment}
        with process([PACKAGE, "serve"], self.folder, settings, self.log) as running:
            url = f"http://127.0.0.1:{port}"
            wait_ready(f"{url}/healthz", running)
            yield App(self.folder, self.environment, url, running, self.tenants, self.operator)


def installed_app(folder: Path, cycles_url: str, **more: str) -> App:
    """Install the app with a migrated database and no tenant; `more` are settings on top."""
    environment = {
        "APP_ENV": "development",
        "LLM_PROVIDER": "demo",
        "DEMO_DELAY_MS": "5",
        "LLM_MODEL": "gpt-5.4-mini",  # the tests' budgets fit its price
        "SECRET_KEY": secrets.token_urlsafe(32),
        "METRICS_TOKEN": secrets.token_urlsafe(32),
        **dev_identity.environment(),
        **dev_tenancy.environment(),
        **OWN,
        "CYCLES_BASE_URL": cycles_url,
        "CYCLES_ADMIN_URL": os.environ["CYCLES_ADMIN_URL"] if LIVE else cycles_url,
        "CYCLES_ADMIN_API_KEY": ADMIN_KEY,
        "CYCLES_JOURNAL_DIR": str(folder / "journal"),
        "DATABASE_URL": f"sqlite:///{folder / 'app.sqlite3'}",
        **more,
    }
    app = App(folder, environment | dev_tenancy.account(environment))
    if MIGRATED and "DATABASE_URL" not in more:  # migrating takes a second, copying does not
        copy_database(MIGRATED[0], folder / "app.sqlite3")
        return app
    migrated = app.cli("migrate")
    assert migrated.returncode == 0, migrated.stderr
    if "DATABASE_URL" not in more:
        MIGRATED.append(folder / "migrated.sqlite3")
        copy_database(folder / "app.sqlite3", MIGRATED[0])
    return app


def copy_database(source: Path, target: Path) -> None:
    """Copy a database, including its write-ahead log."""
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)
