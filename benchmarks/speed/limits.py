"""What must not grow with load: many tenants, past calls, workers, an idle process, a long stream, the start."""

import json
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from .projects import Project
from .servers import HERE, PROMPT, Servers, load, wait_for

TENANTS = 10_000
PAST = (0, 100_000, 1_000_000)
MEETING_S = 4
IDLE_S = 11
ROUNDS = 3


class Limit(NamedTuple):
    """One figure. `points` are plotted: the figure by what it grows with."""

    what: str
    figure: str
    goal: str
    points: Mapping[str, float] = MappingProxyType({})


def limits_of(framework: str, project: Project, servers: Servers, seconds: float) -> Iterator[Limit]:
    """Measure a project that is already served as `<framework> this`."""
    yield from idle(framework, servers)
    yield many_tenants(framework, project, servers, seconds)
    yield much_past(framework, project, servers, seconds)
    yield workers(framework, project, servers, seconds)
    yield start(framework, project, servers)
    yield from stream(project, servers)


def many_tenants(framework: str, project: Project, servers: Servers, seconds: float) -> Limit:
    """Compare requests of 10,000 known tenants in turn with requests of one."""
    name, acme = f"{framework} this", project.headers["acme"]
    url = f"{servers.urls[name]}/api/chat"
    everybody = project.tenants(TENANTS)
    met = 0
    while met < TENANTS:  # a first request takes four times as long
        met += int(load(servers, name, url, everybody[met:], 16, MEETING_S).rps * MEETING_S)
    ratios = []
    for turn in range(ROUNDS):  # other tenants in each: recent ones are cached
        first = turn * TENANTS // ROUNDS
        many = load(servers, name, url, everybody[first:] + everybody[:first], 16, seconds).rps
        ratios.append(many / load(servers, name, url, [acme], 16, seconds).rps)
    what = f"{TENANTS:,} tenants evenly, over one tenant's requests a second"
    return Limit(what, f"{statistics.median(ratios):.2f}", "0.8")


def much_past(framework: str, project: Project, servers: Servers, seconds: float) -> Limit:
    """Measure the CPU of a request with so many rows in the record of calls."""
    name = f"{framework} this"
    points = {}
    for past in PAST:
        project.remember(past)
        samples = [
            load(servers, name, f"{servers.urls[name]}/api/chat", [project.headers["acme"]], 16, seconds)
            for _ in range(ROUNDS)
        ]
        points[f"{past:,}"] = min(sample.cpu_ms for sample in samples)
    figures = ", ".join(f"{past}: {cpu_ms:.2f} ms" for past, cpu_ms in points.items())
    return Limit("CPU of a request after so many in the record of calls", figures, "flat", points)


def workers(framework: str, project: Project, servers: Servers, seconds: float) -> Limit:
    figures, points = [], {}
    for number in (1, 2):
        name = f"{framework} {number} workers"
        environment = {**project.environment, "WORKERS": str(number)}
        url = servers.start(name, project.serve, environment, project.folder, pinned=False) + "/api/chat"
        wait_for(url, json=PROMPT, headers=project.headers["acme"])
        samples = [load(servers, name, url, [project.headers["acme"]], 16, seconds) for _ in range(ROUNDS)]
        best = max(samples, key=lambda sample: sample.rps)
        figures.append(f"{number}: {best.rps:.0f} rps, {best.cpu_ms:.2f} ms CPU")
        points[str(number)] = best.rps
        servers.stop(name)
    return Limit("workers, all cores shared with load and stand-in", "; ".join(figures), "scale with cores", points)


def idle(framework: str, servers: Servers) -> Iterator[Limit]:
    """Count wake-ups of all threads. Ten a second are uvicorn's, which checks whether to stop."""
    name = f"{framework} this"
    time.sleep(3)  # until pending writes are done
    woken, spent, asked = servers.wakeups(name), servers.cpu_s(name), servers.calls()
    time.sleep(IDLE_S)
    woken, spent = servers.wakeups(name) - woken, servers.cpu_s(name) - spent
    yield Limit("idle: wake-ups a second, uvicorn's ten included", f"{woken / IDLE_S:.1f}", "sweeps only")
    yield Limit("idle: CPU", f"{spent / IDLE_S:.2%}, {servers.calls() - asked} upstream calls", "")


def start(framework: str, project: Project, servers: Servers) -> Limit:
    """Measure the time from the command to the first answer."""
    times = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        url = servers.start(f"{framework} start", project.serve, project.environment, project.folder)
        wait_for(f"{url}/healthz", pause_s=0.01)
        times.append(time.perf_counter() - begun)
        servers.stop(f"{framework} start")
    return Limit("start: from the command to the first answer", f"{statistics.median(times):.2f} s", "1 s")


def stream(project: Project, servers: Servers) -> Iterator[Limit]:
    command = [str(project.python), str(HERE / "inside/stream.py")]
    environment = {
        **project.environment,
        "CYCLES_BASE_URL": servers.upstream,
        "CYCLES_JOURNAL_DIR": str(servers.scratch / "journal-stream"),
    }
    done = subprocess.run(command, cwd=project.folder, env=environment, check=True, capture_output=True, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    yield Limit("a streamed chunk, of ours (of 10,000)", f"{told['chunk_us']:.1f} us", "10 us")
    yield Limit("what a stream of 10,000 chunks holds", f"{told['held_kb']:.0f} KB", "1 MB")
