"""The measurements, run by __main__.py in the environment of a generated project: `inside.py FOLDER TENANTS`.

The servers and the load share the machine, with whatever else runs there: every time is the one that a tenth of the
samples stay below (as `timeit` takes the least), and is to be compared with others of the same run.
"""

import asyncio
import gc
import hashlib
import os
import random
import secrets
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import httpx
from acme_chat.budget.client import Clients
from acme_chat.core.config import Settings
from acme_chat.core.database import Database
from acme_chat.core.tenancy_settings import TenancySettings
from acme_chat.tenants import keys
from acme_chat.tenants.models import ApiKey, Tenant
from acme_chat.tenants.registry import open_registry
from acme_chat.tenants.tenancy import CyclesKeys
from emulator.ledger import Ledger
from emulator.storage import Store
from pydantic import SecretStr
from runcycles import Action, Amount, AsyncCyclesClient, CyclesConfig, Subject, Unit, journal
from tests.running import App, installed_app, run_emulator

UNIT = "USD_MICROCENTS"
SAMPLE = 200
"""Tenants whose latency is measured, and plain clients that are made: each of those holds 0.8 MB."""
ACTION = Action(kind="llm.completion", name="demo")
HELLO = {"prompt": "Hello", "max_tokens": 1}


class Seeded:
    """Tenants in a registry and an emulator, as `tenants add` leaves them, written straight into both databases."""

    def __init__(self, app: App, store: Store) -> None:
        self._app = app
        self._store = store
        secret = SecretStr(app.environment["TENANT_KEYS_SECRET"])
        self._keys = CyclesKeys(TenancySettings(tenant_keys_secret=[secret]))
        self.cycles_keys: dict[str, str] = {}
        self.headers: dict[str, dict[str, str]] = {}

    async def add(self, names: Sequence[str]) -> None:
        rows = []
        for begin in range(0, len(names), 100):
            with self._store.transaction():  # short ones: the emulator is running
                rows += [self._onboard(name) for name in names[begin : begin + 100]]
        async with Database(self._app.environment["DATABASE_URL"]) as database:
            for table in zip(*rows, strict=True):
                async with database.begin() as session:
                    session.add_all(table)

    def _onboard(self, name: str) -> tuple[Tenant, ApiKey]:
        now, secret, key_id = datetime.now(UTC), f"cyc_live_{secrets.token_urlsafe(24)}", f"key_{name}"
        expires_at = now + timedelta(days=365)
        times = {"created_at": now.isoformat(), "expires_at": expires_at.strftime("%Y-%m-%dT%H:%M:%S.000Z")}
        shown = {"key_id": key_id, "key_prefix": secret[:17], "tenant_id": name, "name": "bench", "status": "ACTIVE"}
        tenant = {"tenant_id": name, "name": name, "status": "ACTIVE", "default_reservation_ttl_ms": 60_000}
        limits = {"max_reservation_ttl_ms": 3_600_000, "max_reservation_extensions": 10}
        policy = {"default_commit_overage_policy": "ALLOW_IF_AVAILABLE"}
        self._store.save("tenants", tenant | limits | policy)
        digest = hashlib.sha256(secret.encode()).hexdigest()
        self._store.save("api_keys", {"shown": shown | times | {"permissions": []}, "digest": digest})
        about = {"ledger_id": name, "created_at": now.isoformat()}
        self._store.save_path([Ledger(name, f"tenant:{name}", UNIT, 10**12, about=about)])
        key, plain = keys.mint_api_key(name, "bench")
        self.cycles_keys[name] = secret
        self.headers[name] = {"Authorization": f"Bearer {plain}"}
        row = Tenant(
            id=name,
            name=name,
            budget=10**12,
            sealed_key=self._keys.seal(secret),
            cycles_key_id=key_id,
            cycles_key_name="bench",
            cycles_key_expires_at=expires_at,
            onboarded=True,
            created_at=now,
        )
        return row, key


class Served:
    """The app, serving: how long its start took, its memory, and how long a request takes."""

    def __init__(self, app: App, started_in_s: float, headers: dict[str, dict[str, str]]) -> None:
        self.started_in_s = started_in_s
        self._headers = headers
        self._client = httpx.Client(base_url=app.url, timeout=30)
        self._url = app.url
        self._pid = app.running.pid if app.running else 0

    def memory_mb(self) -> float:
        return resident_mb(str(self._pid))

    def ask(self, tenant: str) -> float:
        """Milliseconds of one paid request."""
        start = time.perf_counter()
        self._client.post("/api/chat", json=HELLO, headers=self._headers[tenant]).raise_for_status()
        return (time.perf_counter() - start) * 1000

    async def ask_all(self, tenants: Sequence[str]) -> None:
        """One request of each tenant, 16 at a time."""
        waiting = iter(tenants)

        async def caller(session: aiohttp.ClientSession) -> None:
            for tenant in waiting:
                async with session.post("/api/chat", json=HELLO, headers=self._headers[tenant]) as answer:
                    answer.raise_for_status()
                    await answer.read()

        async with aiohttp.ClientSession(self._url) as session:
            await asyncio.gather(*(caller(session) for _ in range(16)))


def resident_mb(process: str = "self") -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


@contextmanager
def serving(app: App, headers: dict[str, dict[str, str]]) -> Iterator[Served]:
    start = time.perf_counter()
    with app.serving(APP_ENV="production", DEMO_DELAY_MS="0") as running:
        yield Served(running, time.perf_counter() - start, headers)


def tenth(times: Iterable[float]) -> float:
    """What a tenth of the samples stay below."""
    ordered = sorted(times)
    return ordered[len(ordered) // 10]


def served(app: App, seeded: Seeded, names: Sequence[str]) -> dict[str, str]:
    """What the app needs as a whole; all tenants but the first are seeded on the way."""
    asyncio.run(seeded.add(names[:1]))
    with serving(app, seeded.headers) as app_of_one:
        start, memory = app_of_one.started_in_s, app_of_one.memory_mb()
    asyncio.run(seeded.add(names[1:1000]))
    times = {"`doctor`, 1,000 tenants": command_s(app, "doctor")}
    asyncio.run(seeded.add(names[1000:]))
    times |= {f"`tenants list`, {len(names):,} tenants": command_s(app, "tenants", "list")}
    with serving(app, seeded.headers) as all_of_them:
        all_start, all_memory = all_of_them.started_in_s, all_of_them.memory_mb()
        for _ in range(SAMPLE):
            all_of_them.ask(names[0])  # warms up everything that is no tenant's own
        alone = tenth(all_of_them.ask(names[0]) for _ in range(SAMPLE))
        before = all_of_them.memory_mb()
        chosen = random.sample(names[1:], SAMPLE)
        first = tenth(map(all_of_them.ask, chosen))
        second = tenth(map(all_of_them.ask, chosen))
        asyncio.run(all_of_them.ask_all(names))
        after = all_of_them.memory_mb()
        later = tenth(map(all_of_them.ask, random.sample(names[-RECENT:], SAMPLE)))
    return {
        "start": f"{start:.2f} s with 1 tenant, {all_start:.2f} s with {len(names):,}",
        "memory at start": f"{memory:.0f} MB with 1 tenant, {all_memory:.0f} MB with {len(names):,}",
        "memory of an active tenant": f"{(after - before) * 1024 / len(names):.1f} KB ({after:.0f} MB in all)",
        "paid request over HTTP: the first of a tenant": f"{first:.2f} ms",
        "a later one, few tenants active": f"{alone:.2f} ms the same tenant, {second:.2f} ms any of {SAMPLE}",
        "a later one, all active": f"{later:.2f} ms",
        **times,
    }


RECENT = 2_000
"""Of all tenants those asked last, whose API keys and Cycles keys the app has not begun to forget (60 s)."""


async def clients_of(app: App, names: Sequence[str]) -> str:
    """Milliseconds to get a tenant's client for the first time, and again."""
    os.environ.update(app.environment)
    settings = Settings()
    async with open_registry(settings.database_url) as registry:
        clients, times = Clients(settings, registry), []
        for name in (names[0], *names[:SAMPLE], *names[:SAMPLE]):
            start = time.perf_counter()
            await clients.of(name)
            times.append((time.perf_counter() - start) * 1000)
        await clients.aclose()
    return f"{tenth(times[1:SAMPLE]):.2f} ms, then {tenth(times[-SAMPLE:]):.3f} ms"


async def plain(seeded: Seeded, url: str, folder: Path) -> dict[str, str]:
    """A client per tenant, as the SDK's documents show it: made once and kept; a hold with its commit by each."""
    names = list(seeded.cycles_keys)[:SAMPLE]

    def made(name: str) -> AsyncCyclesClient:
        key = seeded.cycles_keys[name]
        return AsyncCyclesClient(CyclesConfig(base_url=url, api_key=key, tenant=name, journal_dir=str(folder)))

    async def ask(name: str) -> float:
        start = time.perf_counter()
        estimate = Amount(unit=Unit.USD_MICROCENTS, amount=100)
        call = clients[name].stream_reservation(subject=Subject(tenant=name), action=ACTION, estimate=estimate)
        async with call as reservation:
            reservation.usage.actual_cost = 10
        return (time.perf_counter() - start) * 1000

    clients = {names[0]: made(names[0])}
    await ask(names[0])
    alone = tenth([await ask(names[0]) for _ in range(SAMPLE)])
    gc.collect()
    memory, start = resident_mb(), time.perf_counter()
    clients |= {name: made(name) for name in names[1:]}
    making = (time.perf_counter() - start) * 1000 / len(names)
    first = tenth([await ask(name) for name in names])
    second = tenth([await ask(name) for name in names])
    grown = (resident_mb() - memory) * 1024 / len(names)
    for number in range(IDENTITIES):  # as if so many other tenants were active: 0.8 MB less for each
        journal.auth_fingerprint(url, "", f"other-{number}")
    later = tenth([await ask(name) for name in names])
    for client in clients.values():
        await client.aclose()
    return {
        "a tenant's client": f"{making:.0f} ms",
        "memory of an active tenant": f"{grown:.0f} KB (of {len(names)})",
        "paid request over HTTP: the first of a tenant": f"{first:.2f} ms (hold and commit alone)",
        "a later one, few tenants active": f"{alone:.2f} ms the same tenant, {second:.2f} ms any of {len(names)}",
        "a later one, all active": f"{later:.2f} ms",
    }


IDENTITIES = 256
"""How many tenants' journal identities the SDK remembers; it makes others again for each call."""


def command_s(app: App, *command: str) -> str:
    """How long an operator waits for a command."""
    start = time.perf_counter()
    answer = app.cli(*command, "--json")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return f"{time.perf_counter() - start:.1f} s"


def main(folder: Path, tenants: int) -> None:
    names = [f"t-{number:05}" for number in range(tenants)]
    with run_emulator(folder) as emulator:
        app = installed_app(folder, emulator.url)
        seeded = Seeded(app, Store(folder / "emulator.sqlite3"))
        this = served(app, seeded, names)
        other = asyncio.run(plain(seeded, emulator.url, folder / "plain-journal"))
        this = {"a tenant's client": asyncio.run(clients_of(app, names))} | this
    print(f"| {tenants:,} tenants | this | a plain SDK client per tenant |\n|---|---|---|")
    for what, told in this.items():
        print(f"| {what} | {told} | {other.get(what, '')} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
