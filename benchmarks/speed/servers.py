"""Measured processes and the load on them. Needs Linux and wrk."""

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

HERE = Path(__file__).parent
PROCESS_CPU_CLOCK = 2
"""Of another process, by its ID: see clock_getcpuclockid(3). /proc counts in hundredths of a second."""
PROMPT = {"prompt": "hello"}
VENDOR_MODEL = "gpt-5.4-mini"
VENDOR_KEY = "sk-" + "x" * 20
LUA = """wrk.method, wrk.body = "POST", [==[%s]==]
local turns, turn = {%s}, 0
function init()
  for i, headers in ipairs(turns) do turns[i] = wrk.format(nil, nil, headers) end
end
function request()
  turn = turn %% #turns + 1
  return turns[turn]
end
function done(summary, latency)
  local e = summary.errors
  print("RESULT", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.timeout, e.status)
end
"""


@dataclass(frozen=True)
class Sample:
    rps: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    calls: float
    """Upstream calls per request."""
    refused: float
    """Share of answers that were no success."""


class Servers:
    """Measured processes, started once and left running. Each has its own outbox."""

    def __init__(self, stack: ExitStack, scratch: Path) -> None:
        self._stack = stack
        self.scratch = scratch
        self._cores = sorted(os.sched_getaffinity(0))
        self._port = 8200
        self.running: dict[str, psutil.Process] = {}
        self.urls: dict[str, str] = {}
        self.upstream = self._address()
        os.sched_setaffinity(0, self._cores[1:] or self._cores)
        self.start("stand-in", [sys.executable, "standin.py", "{port}"], {}, HERE, served=False)
        wait_for(f"{self.upstream}/counts")

    def _address(self) -> str:
        self._port += 1
        return f"http://127.0.0.1:{self._port}"

    def start(
        self,
        name: str,
        command: list[str],
        environment: dict[str, str],
        folder: Path,
        *,
        served: bool = True,
        pinned: bool = True,
    ) -> str:
        """Start a server, on the first core only if `pinned`. Return its URL. `{port}` in the command is replaced."""
        url = self._address() if served else self.upstream
        journal = self.scratch / f"journal-{self._port}"
        journal.mkdir(exist_ok=True)
        ours = {"CYCLES_BASE_URL": self.upstream, "CYCLES_JOURNAL_DIR": str(journal), "PORT": str(self._port)}
        command = [part.replace("{port}", str(self._port)) for part in command]
        log = self._stack.enter_context((self.scratch / f"log-{self._port}.txt").open("wb"))
        cores = {self._cores[0]} if pinned and served else set(self._cores if served else self._cores[-1:])
        started = running(command, os.environ | environment | ours, folder, log, cores)
        self.running[name] = psutil.Process(self._stack.enter_context(started).pid)
        self.urls[name] = url
        return url

    def stop(self, name: str) -> None:
        """Stop a server early. Its figures are lost."""
        process = self.running.pop(name)
        process.terminate()
        process.wait(15)

    def wakeups(self, name: str) -> int:
        """Return the number of wake-ups of its threads so far."""
        return sum(
            int(line.split()[1])
            for status in Path(f"/proc/{self.running[name].pid}/task").glob("*/status")
            for line in status.read_text(encoding="utf-8").splitlines()
            if line.startswith("voluntary_ctxt_switches")
        )

    def cpu_s(self, name: str) -> float:
        """Return the CPU seconds of a server and its children, by the kernel's clock in nanoseconds."""
        process = self.running[name]
        processes = (process, *process.children(recursive=True))
        return sum(time.clock_gettime(~each.pid << 3 | PROCESS_CPU_CLOCK) for each in processes)

    def calls(self) -> int:
        """Return the stand-in's count, once it is idle."""
        last, now = -1, 0
        while now != last:
            time.sleep(0.3)
            counts = httpx.get(f"{self.upstream}/counts").json()
            last, now = now, sum(count for name, count in counts.items() if name != "counts")
        return now


@contextmanager
def running(
    command: list[str], environment: dict[str, str], folder: Path, log: object, cores: set[int]
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)  # type: ignore[call-overload]
    os.sched_setaffinity(process.pid, cores)
    try:
        yield process
    finally:
        workers: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):  # already stopped
            workers = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        try:
            process.wait(15)
        finally:
            process.kill()
            process.wait()
            for worker in workers:  # of gunicorn, whose killed master leaves them behind
                with suppress(psutil.NoSuchProcess):
                    worker.kill()


def start_vendor(servers: Servers) -> dict[str, str]:
    """Start a local process that speaks OpenAI's API. Return the settings of a project that asks it."""
    url = servers.start("vendor", [sys.executable, "vendor.py", "{port}"], {}, HERE, pinned=False)
    wait_for(f"{url}/", json={})
    provider = {"LLM_PROVIDER": "openai", "LLM_MODEL": VENDOR_MODEL}
    return provider | {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": VENDOR_KEY}


def wait_for(url: str, pause_s: float = 0.1, **request: object) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = httpx.request("POST" if request else "GET", url, **request)  # type: ignore[arg-type]
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(pause_s)
        else:
            if answer.status_code not in (200, 402):
                sys.exit(f"{url}: {answer.status_code} {answer.text}")
            return


def load(
    servers: Servers,
    name: str,
    url: str,
    senders: Sequence[dict[str, str]],
    connections: int,
    seconds: float,
    body: object = PROMPT,
) -> Sample:
    """Load the server `name` at `url` for so many seconds and connections, as each of the `senders` in turn."""
    script = servers.scratch / "wrk.lua"
    turns = ",".join(lua_table({"Content-Type": "application/json", **headers}) for headers in senders)
    script.write_text(LUA % (json.dumps(body), turns), encoding="utf-8")
    asked, spent = servers.calls(), servers.cpu_s(name)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "30s", "-s", str(script), url]
    done = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"^RESULT\s+(.*)", done, re.MULTILINE)
    assert found, done
    requests, micros, p50, p99, broken, refused = map(float, found[1].split())
    if broken:
        sys.exit(f"{name}: {broken:.0f} of {requests:.0f} requests broken")
    requests = max(requests, 1)  # avoids a division by zero
    return Sample(
        rps=requests / micros * 1e6,
        p50_ms=p50 / 1e3,
        p99_ms=p99 / 1e3,
        cpu_ms=(servers.cpu_s(name) - spent) / requests * 1e3,
        calls=(servers.calls() - asked) / requests,
        refused=refused / requests,
    )


def lua_table(members: dict[str, str]) -> str:
    return "{" + ",".join(f"[{json.dumps(name)}]={json.dumps(value)}" for name, value in members.items()) + "}"


def machine() -> str:
    model = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    cores, memory = os.cpu_count(), psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    kind = model[1] if model else platform.machine()
    return f"{kind}, {cores} cores, {memory:.0f} GiB, {platform.system()}; load at the start {load:.1f}"
