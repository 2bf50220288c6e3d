"""A real emulator process for the tests, and the application of one tenant that calls it."""

import itertools
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import httpx

ADMIN_KEY = "admin-key-of-the-tests"
UNIT = "USD_MICROCENTS"
ADMIN = {"X-Admin-API-Key": ADMIN_KEY}
Body = dict[str, Any]


def environment(**more: str) -> dict[str, str]:
    """The tests' environment without what would configure an emulator, and with `more`."""
    hidden = {"APP_ENV", "CYCLES_PORT", "CYCLES_EMULATOR_DATA", "CYCLES_ADMIN_API_KEY"}
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return kept | {"PYTHONDONTWRITEBYTECODE": "1"} | more


def money(amount: int, unit: str = UNIT) -> Body:
    return {"unit": unit, "amount": amount}


class Server:
    """`python -m emulator` in `folder` on a free port, with its state in `data`."""

    def __init__(self, folder: Path, data: Path) -> None:
        command = [sys.executable, "-m", "emulator", "--port", "0", "--data", str(data)]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment(CYCLES_ADMIN_API_KEY=ADMIN_KEY),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        listens = re.search(r"http://\S+", line)
        assert listens, line
        self.url = listens[0]
        self.http = httpx.Client(base_url=self.url, timeout=30)

    def kill(self) -> None:
        """As kill -9."""
        self.process.kill()
        self._gone()

    def stop(self) -> int:
        """As SIGTERM; gives the exit code."""
        self.process.terminate()
        return self._gone()

    def _gone(self) -> int:
        self.http.close()
        code = self.process.wait(timeout=10)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def control(self, method: str, path: str, body: Body | None = None) -> Body:
        answer = self.http.request(method, f"/_emulator/{path}", json=body, headers=ADMIN)
        assert answer.status_code == 200, answer.text
        document: Body = answer.json()
        return document

    def fault(self, kind: str, **more: str | int) -> None:
        self.control("POST", "faults", {"kind": kind} | more)

    def advance(self, ms: int) -> None:
        self.control("POST", "clock", {"advance_ms": ms})

    def admin(self, method: str, path: str, body: Body | None = None, **query: str) -> httpx.Response:
        return self.http.request(method, f"/v1/admin/{path}", json=body, params=query, headers=ADMIN)


class App:
    """A fresh tenant with a key and one ledger, and the calls that its application makes."""

    def __init__(self, server: Server, allocated: int = 1000, *, overdraft: int = 0, **settings: str | int) -> None:
        self.server, self.http = server, server.http
        self.tenant = f"t{uuid.uuid4().hex[:12]}"
        self.numbers = itertools.count()
        tenant = {"tenant_id": self.tenant, "name": self.tenant} | settings
        assert server.admin("POST", "tenants", tenant).status_code == 201
        key = server.admin("POST", "api-keys", {"tenant_id": self.tenant, "name": "app"})
        self.headers = {"X-Cycles-API-Key": key.json()["key_secret"]}
        self.ledger(f"tenant:{self.tenant}", allocated, overdraft)

    def ledger(self, scope: str, allocated: int, overdraft: int = 0) -> None:
        body = {"tenant_id": self.tenant, "scope": scope, "unit": UNIT, "allocated": money(allocated)}
        answer = self.server.admin("POST", "budgets", body | {"overdraft_limit": money(overdraft)})
        assert answer.status_code == 201, answer.text

    def fund(self, operation: str, amount: int, **more: str) -> httpx.Response:
        query = {"scope": f"tenant:{self.tenant}", "unit": UNIT, "tenant_id": self.tenant}
        body = {"operation": operation, "amount": money(amount)} | more
        return self.server.admin("POST", "budgets/fund", body, **query)

    def post(self, path: str, body: Body) -> httpx.Response:
        keyed = {"idempotency_key": f"{self.tenant}-{next(self.numbers)}"} | body
        return self.http.post(f"/v1/{path}", json=keyed, headers=self.headers)

    def get(self, path: str, **query: str) -> httpx.Response:
        return self.http.get(f"/v1/{path}", params=query, headers=self.headers)

    def request(self, name: str, amount: int, **more: Any) -> Body:
        """The body of a reserve or decide (name: estimate), or an event (actual)."""
        levels = more.pop("levels", {})
        action = {"kind": "llm.completion", "name": "m"}
        return {"subject": {"tenant": self.tenant} | levels, "action": action, name: money(amount)} | more

    def reserve(self, amount: int = 100, **more: Any) -> httpx.Response:
        return self.post("reservations", self.request("estimate", amount, **more))

    def held(self, amount: int = 100, **more: Any) -> str:
        """Reserve; gives the reservation's id."""
        answer = self.reserve(amount, **more)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["reservation_id"])

    def decide(self, amount: int = 100, **more: Any) -> httpx.Response:
        return self.post("decide", self.request("estimate", amount, **more))

    def event(self, amount: int = 100, **more: Any) -> httpx.Response:
        return self.post("events", self.request("actual", amount, **more))

    def commit(self, reservation: str, amount: int, **more: Any) -> httpx.Response:
        return self.post(f"reservations/{reservation}/commit", {"actual": money(amount)} | more)

    def release(self, reservation: str, **more: Any) -> httpx.Response:
        return self.post(f"reservations/{reservation}/release", more)

    def extend(self, reservation: str, ms: int, **more: Any) -> httpx.Response:
        return self.post(f"reservations/{reservation}/extend", {"extend_by_ms": ms} | more)

    def balance(self) -> dict[str, int]:
        """remaining, reserved, spent, allocated (and debt, overdraft_limit if any) of the tenant's own ledger."""
        balances = self.get("balances", tenant=self.tenant).json()["balances"]
        [own] = [each for each in balances if each["scope_path"] == f"tenant:{self.tenant}"]
        return {name: value["amount"] for name, value in own.items() if isinstance(value, dict)}


def conserved(snapshot: Body) -> None:
    """On every ledger: remaining = allocated - spent - reserved - debt, and the live holds are what is reserved."""
    held: dict[tuple[str, str], int] = {}
    for hold in snapshot["holds"]:
        for scope in hold["scopes"]:
            held[scope, hold["unit"]] = held.get((scope, hold["unit"]), 0) + hold["amount"]
    for ledger in snapshot["ledgers"]:
        gone = ledger["spent"] + ledger["reserved"] + ledger["debt"]
        assert ledger["remaining"] == ledger["allocated"] - gone, ledger
        assert ledger["reserved"] == held.pop((ledger["scope"], ledger["unit"]), 0), ledger
    assert not held
