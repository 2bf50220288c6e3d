"""The app and the emulator as real processes, for the tests to talk to."""

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
"""The Cycles tenants of those that were added."""
# no other setting of ours; what is imported comes from here, whatever is installed
STARTED_WITH = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
TLS = httpx.create_ssl_context()  # one for all: to make it takes 35 ms
HTTP = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), verify=TLS)  # no connection outlives its answer
MIGRATED: list[Path] = []
"""A database that has all tables and nothing else, once there is one."""
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
    """The first true result of `condition()`; fails the test if none comes in time."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not in {seconds} s: {what or condition}"
        time.sleep(0.02)
    return result


@contextmanager
def process(
    arguments: list[str], folder: Path, environment: dict[str, str], log: Path | None = None
) -> Iterator[Running]:
    """A process that runs `python -m ...` in `folder` and is ended by SIGTERM.

    What it says goes to `log`, or to our stderr, where at its end the log goes too: a test that fails shows it.
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
        assert running.poll() is None, "the process has ended"
        try:
            return HTTP.get(url).is_success
        except httpx.TransportError:
            return False

    wait_until(answers, START_S, url)


def scope_of(tenant: str) -> str:
    """The scope of the ledger that a tenant's calls are paid from."""
    return "/".join(f"{level}:{name}" for level, name in subject_of(tenant).items())


@dataclass(frozen=True)
class Emulator:
    """Cycles for the tests: the emulator with its control plane, or in the live suite the real one without."""

    url: str
    admin_url: str

    def control(self, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> Any:
        """Only the emulator can be told what to do: in the live suite the test is skipped."""
        only_emulated()
        headers = {"X-Cycles-Emulator-Control": "1"}
        answer = HTTP.request(method, f"{self.url}/_emulator/{path}", json=body, headers=headers)
        answer.raise_for_status()
        return answer.json()

    def fault(self, kind: str, operation: str, times: int = 1, **more: Any) -> None:
        self.control("faults", {"kind": kind, "operation": operation, "times": times, **more})

    def clear_faults(self) -> None:
        self.control("faults", method="DELETE")

    def ledger(self, tenant: str) -> dict[str, Any]:
        """The tenant's own ledger: its status; allocated, spent, reserved, remaining ... in microcents."""
        place = {"tenant_id": subject_of(tenant)["tenant"], "scope_prefix": scope_of(tenant)}
        rows = self.listed(f"{self.admin_url}/v1/admin/budgets", "ledgers", **place)
        row = next(row for row in rows if row["scope"] == scope_of(tenant))
        amounts = {name: value["amount"] for name, value in row.items() if isinstance(value, dict)}
        return {"status": row["status"], "spent": 0, "reserved": 0, "debt": 0, **amounts}

    def live_holds(self, tenant: str) -> int:
        return len(self.listed(f"{self.url}/v1/reservations", "reservations", status="ACTIVE", **subject_of(tenant)))

    def close(self, cycles_tenant: str) -> None:
        """For ever: its keys are revoked, its ledgers closed. Whether there is one does not matter."""
        url = f"{self.admin_url}/v1/admin/tenants/{cycles_tenant}"
        HTTP.patch(url, json={"status": "CLOSED"}, headers={"X-Admin-API-Key": ADMIN_KEY})

    def listed(self, url: str, member: str, **query: str) -> list[dict[str, Any]]:
        """The rows of a list, from all of its pages."""
        rows: list[dict[str, Any]] = []
        while True:
            answer = HTTP.get(url, params=query, headers={"X-Admin-API-Key": ADMIN_KEY})
            page = answer.raise_for_status().json()
            rows += page[member]
            if not page.get("next_cursor"):
                return rows
            query["cursor"] = page["next_cursor"]


def unsettled(journal: Path) -> int:
    """Return how many settlements wait in the outbox of a journal folder."""
    with closing(sqlite3.connect(f"file:{journal}/outbox.sqlite3?mode=rw", uri=True)) as outbox:
        count: int = outbox.execute("SELECT count(*) FROM settlements").fetchone()[0]
        return count


def only_emulated() -> None:
    if LIVE:
        pytest.skip("needs an emulator: its faults, its clock, or one of its own")


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
    """The app as it is installed: its environment, its CLI and, while it runs, its address."""

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
        """What a command prints with --json; the test fails if the command does."""
        answer = self.cli(*arguments, "--json", stdin=stdin)
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return json.loads(answer.stdout)

    def add_tenant(self, budget: str = "1.00", tenant: str = "", *more: str) -> dict[str, Any]:
        """A new tenant: its `id` and the `headers` that a caller of it sends."""
        tenant = tenant or f"t-{secrets.token_hex(4)}{TAG}"
        added = self.done("tenants", "add", tenant, "--name", tenant, "--budget", budget, *more)
        self.tenants[tenant] = {"id": tenant, "headers": self.headers(tenant, added["api_key"])}
        return self.tenants[tenant]

    def headers(self, tenant: str, api_key: str | None) -> dict[str, str]:
        """What a caller of the tenant sends; `api_key` is what `tenants add` told."""
        return dev_identity.headers(tenant, api_key, self.environment, self.done)

    def metric(self, name: str) -> float:
        """The value of a metric that has no labels."""
        headers = {"Authorization": f"Bearer {self.environment['METRICS_TOKEN']}"}
        lines = HTTP.get(f"{self.url}/metrics", headers=headers).text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    @contextmanager
    def serving(self, **environment: str) -> Iterator["App"]:
        """The app serving, on a port of its own, with these settings on top. What it says goes to `log`, if set."""
        port = free_port()
        settings = {**self.environment, "PORT": str(port), **environment}
        with process([PACKAGE, "serve"], self.folder, settings, self.log) as running:
            url = f"http://127.0.0.1:{port}"
            wait_ready(f"{url}/healthz", running)
            yield App(self.folder, self.environment, url, running, self.tenants, self.operator)


def installed_app(folder: Path, cycles_url: str, **more: str) -> App:
    """The app with a database of its own, migrated, and no tenant yet; `more` are settings on top."""
    environment = {
        "APP_ENV": "development",
        "LLM_PROVIDER": "demo",
        "DEMO_DELAY_MS": "5",
        "LLM_MODEL": "gpt-5.4-mini",  # the budgets of the tests fit its price
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
    if MIGRATED and "DATABASE_URL" not in more:  # to migrate a database takes a second, to copy it nothing
        copy_database(MIGRATED[0], folder / "app.sqlite3")
        return app
    migrated = app.cli("migrate")
    assert migrated.returncode == 0, migrated.stderr
    if "DATABASE_URL" not in more:
        MIGRATED.append(folder / "migrated.sqlite3")
        copy_database(folder / "app.sqlite3", MIGRATED[0])
    return app


def copy_database(source: Path, target: Path) -> None:
    """With what is still in the source's log of changes."""
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)
