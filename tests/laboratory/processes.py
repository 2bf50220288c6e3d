"""The emulator and the generated app as real processes."""

import asyncio
import json
import os
import random
import secrets
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import httpx

ADMIN_KEY = "admin-key-of-the-laboratory"
METRICS_TOKEN = "token-of-the-laboratory-for-its-metrics"
START_S = 60
T = TypeVar("T")


@dataclass(frozen=True)
class Project:
    """A generated project, and the Python that has what it needs."""

    path: Path
    python: Path
    framework: str
    vendor: str = "openai"

    @property
    def package(self) -> str:
        return self.path.name.replace("-", "_")

    def command(self, *arguments: str) -> list[str]:
        return [str(self.python), "-m", *arguments]

    def servers(self, port: int) -> dict[str, list[str]]:
        """The command that serves, by the server's name; the port is also in the environment."""
        application = {"fastapi": "main:app", "django": "asgi:application"}[self.framework]
        granian = ["granian", "--interface", "asgi", "--no-log", "--port", str(port), f"{self.package}.{application}"]
        return {"uvicorn": self.command(self.package, "serve"), "granian": self.command(*granian)}


def free_port() -> int:
    """A port that nobody listens on, below those that the system gives to outgoing connections."""
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311 - not a secret
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


async def until(condition: Callable[[], T], seconds: float, what: str) -> T:
    """The first true result of `condition()`; fails the test if none comes in time."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.02)
    return result


async def ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Returns when `url` answers 2xx. Without a request a second, which would be traffic."""
    deadline = time.monotonic() + START_S
    async with aiohttp.ClientSession() as http:
        while True:
            assert process.poll() is None, "the process has ended"
            assert time.monotonic() < deadline, f"{url} does not answer"
            try:
                async with http.get(url) as answer:
                    if answer.ok:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)


class Emulator:
    """The running emulator, its control plane and what it has in its books."""

    def __init__(self, url: str, http: httpx.Client) -> None:
        self.url = url
        self._http = http
        self._ahead_ms = 0

    def control(self, path: str, body: dict[str, Any] | None = None, method: str = "POST") -> Any:
        headers = {"X-Admin-API-Key": ADMIN_KEY}
        answer = self._http.request(method, f"/_emulator/{path}", json=body, headers=headers)
        answer.raise_for_status()
        return answer.json()

    def advance(self, seconds: float) -> None:
        """Move the clock; what expires by then is swept."""
        self._ahead_ms += int(seconds * 1000)
        self.control("clock", {"advance_ms": int(seconds * 1000)})

    def settled_at(self, reservation: dict[str, Any]) -> float:
        """The time, as time.time() tells it, at which a reservation was settled."""
        return float(reservation["finalized_at_ms"] - self._ahead_ms) / 1000

    def ledger(self, tenant: str) -> dict[str, Any]:
        """allocated, spent, reserved, remaining of the tenant's own ledger, in microcents."""
        ledgers = self.control("snapshot", method="GET")["ledgers"]
        found: dict[str, Any] = next(each for each in ledgers if each["scope"] == f"tenant:{tenant}")
        return found

    def live_holds(self, tenant: str) -> list[dict[str, Any]]:
        holds = self.control("snapshot", method="GET")["holds"]
        return [hold for hold in holds if hold["tenant_id"] == tenant]

    def reservations(self, tenant: str) -> dict[str, dict[str, Any]]:
        """Every hold that the tenant ever had, by the end user it was for. Fails if one had two."""
        holds = self.holds(tenant)
        assert all(len(each) == 1 for each in holds.values()), "one call, two holds"
        return {name: each[0] for name, each in holds.items()}

    def holds(self, tenant: str) -> dict[str, list[dict[str, Any]]]:
        """All holds that the tenant ever had, by the end user they were for."""
        query = {"tenant": tenant, "limit": "200"}
        found: dict[str, list[dict[str, Any]]] = {}
        while True:
            page = self._admin("GET", "/v1/reservations", params=query)
            for row in page["reservations"]:
                found.setdefault(row["subject"]["workflow"], []).append(row)
            if not page.get("has_more"):
                return found
            query["cursor"] = page["next_cursor"]

    def charged(self, tenant: str) -> dict[str, int]:
        """Return the microcents that were committed, by the end user."""
        return {
            name: sum(row["committed"]["amount"] for row in rows if "committed" in row)
            for name, rows in self.holds(tenant).items()
        }

    def allocate(self, tenant: str, amount: int) -> None:
        """Give the tenant a budget of `amount` microcents with nothing spent."""
        scope = {"scope": f"tenant:{tenant}", "unit": "USD_MICROCENTS", "tenant_id": tenant}
        body = {"operation": "RESET_SPENT", "amount": {"unit": "USD_MICROCENTS", "amount": amount}}
        self._admin("POST", "/v1/admin/budgets/fund", params=scope, json=body)

    def _admin(self, method: str, path: str, **options: Any) -> Any:
        answer = self._http.request(method, path, headers={"X-Admin-API-Key": ADMIN_KEY}, **options)
        assert answer.is_success, answer.text
        return answer.json()


@asynccontextmanager
async def running_emulator(project: Project, folder: Path) -> AsyncIterator[Emulator]:
    port = free_port()
    command = project.command("emulator", "--port", str(port), "--data", str(folder / "emulator.sqlite3"))
    process = start([*command, "--admin-key", ADMIN_KEY], project.path, _environment())
    try:
        url = f"http://127.0.0.1:{port}"
        await ready(f"{url}/actuator/health/readiness", process)
        with httpx.Client(base_url=url, timeout=30) as http:
            yield Emulator(url, http)
    finally:
        stop(process)


@dataclass(frozen=True)
class Serving:
    """The app, serving."""

    url: str
    process: subprocess.Popen[bytes]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def gone(self, seconds: float = 20) -> int:
        """The exit code, once it has ended."""
        return await asyncio.to_thread(self.process.wait, seconds)

    def metric(self, name: str) -> float:
        """The value of a metric, its labels in its name."""
        answer = httpx.get(f"{self.url}/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
        lines = answer.raise_for_status().text.splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))

    def workers(self) -> list[int]:
        """The process ids of the workers that a supervisor has started."""
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = [pid for thread in threads for pid in thread.read_text().split()]
        return [int(pid) for pid in children if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def memory(self) -> int:
        """Resident bytes of the process and its workers."""
        pids = [self.process.pid, *self.workers()]
        pages = sum(int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) for pid in pids)
        return pages * os.sysconf("SC_PAGE_SIZE")


class Installed:
    """The app as it is installed: a database of its own, its settings, its command line."""

    def __init__(self, project: Project, folder: Path, emulator: Emulator, provider_url: str) -> None:
        self._project = project
        self.journal = folder / "journal"
        self._database = folder / "app.sqlite3"
        self._environment = _environment() | {
            "APP_ENV": "production",
            "LLM_PROVIDER": project.vendor,
            f"{project.vendor.upper()}_API_KEY": secrets.token_urlsafe(32),
            f"{project.vendor.upper()}_BASE_URL": provider_url,
            "SECRET_KEY": secrets.token_urlsafe(32),
            "TENANT_KEYS_SECRET": secrets.token_urlsafe(32),
            "CYCLES_BASE_URL": emulator.url,
            "CYCLES_ADMIN_URL": emulator.url,
            "CYCLES_ADMIN_API_KEY": ADMIN_KEY,
            "CYCLES_JOURNAL_DIR": str(self.journal),
            "DATABASE_URL": f"sqlite:///{self._database}",
            "METRICS_TOKEN": METRICS_TOKEN,
        }
        self._cli("migrate")

    def end_leases(self) -> None:
        """Let requests with a key whose process has died count as ended now, not in 20 s."""
        with closing(sqlite3.connect(self._database, timeout=10)) as database, database:
            database.execute(
                "UPDATE kept_answers SET lease_until = '2026-01-01 00:00:00.000000' WHERE lease_until > ''"
            )

    def backlog(self) -> dict[str, int]:
        """Return the settlements in the outbox: microcents by reservation, or by the key of an event without one."""
        outbox = self.journal / "outbox.sqlite3"
        if not outbox.exists():
            return {}
        # read only: the last writer to close would move the write-ahead log, which the next start should find
        with closing(sqlite3.connect(f"file:{outbox}?mode=ro", uri=True, timeout=10)) as database:
            rows = [json.loads(text) for (text,) in database.execute("SELECT settlement FROM settlements")]
        bodies = {row["reservation_id"] or row["body"]["idempotency_key"]: row["body"] for row in rows}
        return {name: body["actual"]["amount"] for name, body in bodies.items()}

    def add_tenant(self, budget: str = "1000.00") -> "Tenant":
        name = f"t-{secrets.token_hex(4)}"
        added = self.done("tenants", "add", name, "--name", name, "--budget", budget)
        return Tenant(name, {"Authorization": f"Bearer {added['api_key']}"})

    def recorded(self, tenant: "Tenant") -> int:
        """Return the microcents that the tenant's calls cost, by the record of calls."""
        return round(float(self.done("tenants", "report", tenant.id)["actual"]) * 10**8)

    def done(self, *arguments: str, stdin: str = "") -> Any:
        """What a command prints with --json; the test fails if the command does."""
        return json.loads(self._cli(*arguments, "--json", stdin=stdin))

    def _cli(self, *arguments: str, stdin: str = "") -> str:
        command = self._project.command(self._project.package, *arguments)
        done = subprocess.run(
            command,
            cwd=self._project.path,
            env=self._environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @asynccontextmanager
    async def serving(self, server: str = "uvicorn", **settings: str) -> AsyncIterator[Serving]:
        """Serve the app by `server` with these settings on top, and stop it as a supervisor would at the end."""
        port = free_port()
        environment = self._environment | {"PORT": str(port)} | settings
        command = self._project.servers(port)[server]
        process = start(command, self._project.path, environment)
        try:
            await ready(f"http://127.0.0.1:{port}/healthz", process)
            yield Serving(f"http://127.0.0.1:{port}", process)
        finally:
            stop(process)


@dataclass(frozen=True)
class Tenant:
    """A tenant, and what its callers send."""

    id: str
    headers: dict[str, str]


def start(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, cwd=folder, env=environment)


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    finally:
        process.kill()
        process.wait()


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"]}
