"""What the guard costs: `uv run python -m benchmarks.speed [--rounds 3] [--seconds 3] [-c 1 16 64]`.

Measures the generated projects of both frameworks beside the official guide's wiring, the least that two round trips
can cost (floor) and a bare route, all against an instant stand-in for Cycles, so that only our own cost shows. Rows
are measured in turns, each compared to the others of the same round, so that noise is paired. The servers have one
core, the load and the stand-in the other. Writes docs/speed.md and docs/speed.svg. Needs Linux and wrk.
"""

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import matplotlib as mpl
import psutil
from matplotlib.figure import Figure

from tests.conftest import ROOT

from .projects import Project, make

HERE = Path(__file__).parent
PROMPT = {"prompt": "hello"}
LUA = """wrk.method, wrk.body, wrk.headers = "POST", [==[%s]==], {%s}
function done(summary, latency)
  local e = summary.errors
  print("RESULT", summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.timeout, e.status)
end
"""


@dataclass(frozen=True, eq=False)
class Row:
    """One thing to measure. Rows of the same `server` share a process."""

    framework: str
    name: str
    server: str
    url: str
    headers: dict[str, str]
    refused: bool = False


@dataclass(frozen=True)
class Sample:
    rps: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    calls: float
    """Upstream calls per request."""


class Servers:
    """The processes that are measured, started once and left running; each with a journal of its own."""

    def __init__(self, stack: ExitStack, scratch: Path) -> None:
        self._stack = stack
        self._scratch = scratch
        self._cores = sorted(os.sched_getaffinity(0))
        self._port = 8200
        self.running: dict[str, psutil.Process] = {}
        self.upstream = self._address()
        os.sched_setaffinity(0, self._cores[1:] or self._cores)
        self.start("stand-in", [sys.executable, "standin.py", "{port}"], {}, HERE, served=False)
        wait_for(f"{self.upstream}/counts")

    def _address(self) -> str:
        self._port += 1
        return f"http://127.0.0.1:{self._port}"

    def start(
        self, name: str, command: list[str], environment: dict[str, str], folder: Path, *, served: bool = True
    ) -> str:
        """Start it; its address. `{port}` in the command is where it is to listen."""
        url = self._address() if served else self.upstream
        journal = self._scratch / f"journal-{self._port}"
        journal.mkdir(exist_ok=True)
        ours = {"CYCLES_BASE_URL": self.upstream, "CYCLES_JOURNAL_DIR": str(journal), "PORT": str(self._port)}
        command = [part.replace("{port}", str(self._port)) for part in command]
        log = self._stack.enter_context((self._scratch / f"log-{self._port}.txt").open("wb"))
        process = self._stack.enter_context(
            running(command, os.environ | environment | ours, folder, log, self._cores[0] if served else None)
        )
        self.running[name] = psutil.Process(process.pid)
        return url

    def cpu_s(self, name: str) -> float:
        """Seconds of CPU that a server and its children have used."""
        process = self.running[name]
        times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
        return sum(time.user + time.system for time in times)

    def calls(self) -> int:
        """What the stand-in has counted, once it has come to rest."""
        last, now = -1, 0
        while now != last:
            time.sleep(0.3)
            counts = httpx.get(f"{self.upstream}/counts").json()
            last, now = now, sum(count for name, count in counts.items() if name != "counts")
        return now


@contextmanager
def running(
    command: list[str], environment: dict[str, str], folder: Path, log: object, core: int | None
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)  # type: ignore[call-overload]
    if core is not None:
        os.sched_setaffinity(process.pid, [core])
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        finally:
            process.kill()
            process.wait()


def wait_for(url: str, **request: object) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            answer = httpx.request("POST" if request else "GET", url, **request)  # type: ignore[arg-type]
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            if answer.status_code not in (200, 402):
                sys.exit(f"{url}: {answer.status_code} {answer.text}")
            return


def rows_of(framework: str, project: Project, servers: Servers) -> list[Row]:
    uvicorn = [str(project.python), "-m", "uvicorn", "--no-access-log", "--log-level", "warning", "--port", "{port}"]
    rivals = HERE / "rivals"
    floor = [*uvicorn, "--lifespan", "on" if framework == "fastapi" else "off", f"{framework}_floor:app"]
    guide = [*uvicorn, "fastapi_guide:app"]
    if framework == "django":
        guide = [str(project.python), "-m", "gunicorn", "-k", "gthread", "--threads", "16", "-b", "127.0.0.1:{port}"]
        guide += ["--log-level", "warning", "django_guide:app"]
    ours = [str(project.python), "-m", "acme_chat", "serve"]
    at = {
        "floor": servers.start(f"{framework} floor", floor, {}, rivals),
        "guide": servers.start(f"{framework} guide", guide, {}, rivals),
        "this": servers.start(f"{framework} this", ours, project.environment, project.folder),
    }
    acme, broke = project.headers["acme"], project.headers["broke"]
    return [
        Row(framework, "bare", f"{framework} floor", f"{at['floor']}/api/bare", {}),
        Row(framework, "floor", f"{framework} floor", f"{at['floor']}/api/chat", {}),
        Row(framework, "guide", f"{framework} guide", f"{at['guide']}/api/chat", {}),
        Row(framework, "this", f"{framework} this", f"{at['this']}/api/chat", acme),
        Row(framework, "this, denied", f"{framework} this", f"{at['this']}/api/chat", broke, refused=True),
    ]


def measure(row: Row, servers: Servers, script: Path, connections: int, seconds: int) -> Sample:
    headers = {"Content-Type": "application/json", **row.headers}
    listed = ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items())
    script.write_text(LUA % (json.dumps(PROMPT), listed), encoding="utf-8")
    asked, spent = servers.calls(), servers.cpu_s(row.server)
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script), row.url]
    done = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"^RESULT\s+(.*)", done, re.MULTILINE)
    assert found, done
    requests, micros, p50, p99, broken, refused = map(float, found[1].split())
    if broken or (refused and not row.refused) or (row.refused and refused != requests):
        sys.exit(f"{row.framework} {row.name}: {refused:.0f} of {requests:.0f} refused, {broken:.0f} broken")
    return Sample(
        rps=requests / micros * 1e6,
        p50_ms=p50 / 1e3,
        p99_ms=p99 / 1e3,
        cpu_ms=(servers.cpu_s(row.server) - spent) / requests * 1e3,
        calls=(servers.calls() - asked) / requests,
    )


Samples = dict[tuple[Row, int], list[Sample]]


def ratio(samples: Samples, row: Row, base: str, connections: int) -> float:
    """The median over the rounds of `row`'s requests a second over those of the row `base` in the same round."""
    other = next(each for each, _ in samples if (each.framework, each.name) == (row.framework, base))
    pairs = zip(samples[row, connections], samples[other, connections], strict=True)
    return statistics.median(one.rps / two.rps for one, two in pairs)


def table(samples: Samples) -> list[str]:
    """Markdown: medians, with the least and the most of the requests a second."""
    lines = ["| row | c | rps | least-most | p50 ms | p99 ms | CPU ms | calls | x guide | x floor | x bare |"]
    lines.append("|---|" + "---:|" * 10)
    for (row, connections), got in samples.items():
        rps = [sample.rps for sample in got]
        names = ("p50_ms", "p99_ms", "cpu_ms")
        figures = [statistics.median(getattr(sample, name) for sample in got) for name in names]
        ratios = [ratio(samples, row, base, connections) for base in ("guide", "floor", "bare")]
        cells = [f"{row.framework} {row.name}", str(connections), f"{statistics.median(rps):.0f}"]
        cells += [f"{min(rps):.0f}-{max(rps):.0f}", *(f"{figure:.2f}" for figure in figures)]
        cells += [f"{statistics.median(sample.calls for sample in got):.2f}", *(f"{each:.2f}" for each in ratios)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


@mpl.rc_context({"svg.hashsalt": "speed"})  # the same figures give the same bytes
def plot(samples: Samples, target: Path) -> None:
    frameworks = list(dict.fromkeys(row.framework for row, _ in samples))
    figure = Figure(figsize=(5 * len(frameworks), 3.4), layout="tight")
    axes = figure.subplots(1, len(frameworks), squeeze=False)[0]
    for axis, framework in zip(axes, frameworks, strict=True):
        for offset, name in enumerate(("guide", "this", "floor")):
            mine = {c: got for (row, c), got in samples.items() if (row.framework, row.name) == (framework, name)}
            heights = [statistics.median(sample.rps for sample in got) for got in mine.values()]
            axis.bar([place + 0.28 * (offset - 1) for place in range(len(mine))], heights, 0.26, label=name)
            axis.set_xticks(range(len(mine)), [f"c={c}" for c in mine])
        axis.set_title(framework)
        axis.set_ylabel("requests a second")
        axis.legend()
    figure.savefig(target, metadata={"Date": None})


def machine() -> str:
    model = re.search(r"^model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    cores, memory = os.cpu_count(), psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    kind = model[1] if model else platform.machine()
    return f"{kind}, {cores} cores, {memory:.0f} GiB, {platform.system()}; load at the start {load:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3, help="one measurement")
    parser.add_argument("--frameworks", nargs="+", default=["fastapi", "django"])
    parser.add_argument("-c", "--connections", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--output", type=Path, default=ROOT / "docs", help="the folder of speed.md and speed.svg")
    options = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is needed to make the load: see your distribution's packages")
    where = machine()
    samples: Samples = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        scratch = Path(folder)
        projects = {framework: make(framework, scratch) for framework in options.frameworks}
        servers = Servers(stack, scratch)
        rows = [row for framework, project in projects.items() for row in rows_of(framework, project, servers)]
        for row in rows:
            wait_for(row.url, json=PROMPT, headers=row.headers)
            measure(row, servers, scratch / "wrk.lua", 4, 1)  # warms up
        for turn in range(options.rounds):
            for connections in options.connections:
                for row in rows if turn % 2 == 0 else reversed(rows):
                    sample = measure(row, servers, scratch / "wrk.lua", connections, options.seconds)
                    samples.setdefault((row, connections), []).append(sample)
                    print(f"{turn + 1}: {row.framework} {row.name} c={connections}: {sample.rps:.0f}", file=sys.stderr)
    ordered = {(row, c): samples[row, c] for c in options.connections for row in rows}
    command = f"uv run python -m benchmarks.speed --rounds {options.rounds} --seconds {options.seconds}"
    origin = f"Medians of {options.rounds} rounds of {options.seconds} s, from `{command}`\non {where}."
    lines = [HEADING, origin, "", *table(ordered), "", "![Requests a second](speed.svg)"]
    options.output.mkdir(exist_ok=True)
    (options.output / "speed.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    plot(ordered, options.output / "speed.svg")
    print("\n".join(lines))


HEADING = """# What the guard costs

Every row answers the same request; the paid ones make their calls to an instant stand-in for Cycles, so that only the
application's own cost shows. `guide` is the wiring of the official guide, `floor` two bare round trips with no check
and no journal, `bare` a route that pays nothing; `this` is a generated project with identity, preflight, journal,
record and problem details on; `this, denied` refuses a tenant that has nothing left. CPU is the server's own, a
request.
"""

main()
