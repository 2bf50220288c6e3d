"""Reserve and commit pairs per second of the embedded emulator, and the latency of its reads.

    python benchmarks/emulator.py [--emulator FOLDER] [--seconds 5] [--past 0 10000 100000]

FOLDER has the `emulator` package (default: the template's). Load and emulator share the machine's cores. Prints, per
number of past reservations: pairs a second of 1 and 16 clients, p50 and p99 of balances and lists, and memory.
"""

import argparse
import asyncio
import itertools
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

TEMPLATE = Path(__file__).parents[1] / "{{cookiecutter.project_slug}}"
ADMIN = {"X-Admin-API-Key": "admin-key-of-the-benchmark"}
UNIT = "USD_MICROCENTS"
READS = ("/v1/balances?tenant=bench", "/v1/reservations", "/v1/reservations?sort_by=created_at_ms&limit=50")


class Bench:
    """One tenant with a large budget, called by one app."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url
        self.numbers = itertools.count(time.time_ns())
        self.headers: dict[str, str] = {}

    async def call(self, method: str, path: str, body: object = None) -> dict[str, str]:
        headers = ADMIN if path.startswith("/v1/admin") else self.headers
        async with self.session.request(method, self.url + path, json=body, headers=headers) as answer:
            if answer.status >= 300:
                raise SystemExit(f"{method} {path}: {answer.status} {await answer.text()}")
            document: dict[str, str] = await answer.json()
            return document

    async def prepare(self) -> None:
        await self.call("POST", "/v1/admin/tenants", {"tenant_id": "bench", "name": "bench"})
        key = await self.call("POST", "/v1/admin/api-keys", {"tenant_id": "bench", "name": "bench"})
        self.headers = {"X-Cycles-API-Key": key["key_secret"]}
        budget = {"tenant_id": "bench", "scope": "tenant:bench", "unit": UNIT}
        await self.call("POST", "/v1/admin/budgets", budget | {"allocated": {"unit": UNIT, "amount": 10**15}})

    async def pair(self) -> None:
        key, amount = str(next(self.numbers)), {"unit": UNIT, "amount": 100}
        subject, action = {"tenant": "bench"}, {"kind": "llm.completion", "name": "m"}
        body = {"idempotency_key": key, "subject": subject, "action": action, "estimate": amount}
        held = await self.call("POST", "/v1/reservations", body)
        path = f"/v1/reservations/{held['reservation_id']}/commit"
        await self.call("POST", path, {"idempotency_key": key, "actual": amount})

    async def load(self, clients: int, *, seconds: float = 1e9, pairs: int = sys.maxsize) -> float:
        """Run for so many seconds or pairs. Return pairs per second."""
        start, left, done = time.monotonic(), iter(range(pairs)), 0

        async def client() -> None:
            nonlocal done
            while time.monotonic() - start < seconds and next(left, None) is not None:
                await self.pair()
                done += 1

        await asyncio.gather(*(client() for _ in range(clients)))
        return done / (time.monotonic() - start)

    async def latency(self, path: str, calls: int = 100) -> tuple[float, float]:
        """Return median and 99th percentile in ms."""
        times = []
        for _ in range(calls):
            start = time.perf_counter()
            await self.call("GET", path)
            times.append((time.perf_counter() - start) * 1000)
        return statistics.median(times), statistics.quantiles(times, n=100)[98]


def megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return float("nan")
    found = re.search(r"VmRSS:\s+(\d+)", status.read_text(encoding="utf-8"))
    return int(found[1]) / 1024 if found else float("nan")


async def run(url: str, pid: int, seconds: float, past: list[int]) -> None:
    async with aiohttp.ClientSession() as session:
        bench = Bench(session, url)
        await bench.prepare()
        made = 0
        for number in sorted(past):
            await bench.load(16, pairs=number - made)
            made = number
            one, sixteen = [await bench.load(clients, seconds=seconds) for clients in (1, 16)]
            print(f"{number:>7} past: {one:6.0f} pairs/s by 1 client, {sixteen:6.0f} by 16 clients")
            for path in READS:
                p50, p99 = await bench.latency(path)
                print(f"{'':>7}       p50 {p50:5.2f} ms, p99 {p99:5.2f} ms  GET {path}")
            print(f"{'':>7}       {megabytes(pid):.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emulator", type=Path, default=TEMPLATE)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--past", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "emulator", "--port", "0", "--data", f"{folder}/emulator.sqlite3"]
        environment = {
            **os.environ,
            "PYTHONPATH": str(options.emulator),
            "PYTHONDONTWRITEBYTECODE": "1",
            "CYCLES_ADMIN_API_KEY": ADMIN["X-Admin-API-Key"],
        }
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            found = re.search(r"http://\S+", server.stdout.readline() if server.stdout else "")
            if found is None:
                raise SystemExit("the emulator did not start")
            asyncio.run(run(found[0], server.pid, options.seconds, options.past))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


if __name__ == "__main__":
    main()
