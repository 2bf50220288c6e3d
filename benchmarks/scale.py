"""Load that workers and Cycles carry, simulated: `uv run python -m benchmarks.scale [--cpu-ms 1.3]`.

Simulates (SimPy) requests that arrive at random: a worker's CPU, the hold at Cycles, the model, the commit at Cycles.
The inputs are measured figures, named below. Writes the figures of docs/scale.md and its plot.
"""

import argparse
import random
import statistics
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import simpy
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
MARK = "<!-- figures -->"

ENGINE_CORES = 2
CALL_MS = 2.3
"""Of a Cycles core, per hold or commit: two cores carried 430 pairs a second with 16 clients."""
SCAN_MS = 40 / 30_000
"""Of a Cycles core, per key in Redis, to read balances: 40 ms at 30,000 keys."""
KEYS = 30_000 / 7_000
"""In Redis, per reservation of the last 30 days."""
MODEL_S = 2.0
REQUESTS = 4_000
"""Simulated per point. The first fifth is warm-up."""

Steps = Generator[simpy.Event, None, None]


@dataclass(frozen=True)
class Case:
    name: str
    workers: int
    reads: float = 0.0
    """Of balances, a second."""
    past: int = 0
    """Reservations of the last 30 days."""

    @property
    def scan_ms(self) -> float:
        return self.past * KEYS * SCAN_MS


CASES = (
    Case("1 worker", 1),
    Case("10 workers", 10),
    Case("10 workers, balances read once a second, 100,000 past", 10, 1, 100_000),
    Case("10 workers, balances read once a second, 300,000 past", 10, 1, 300_000),
)
RATES = (50, 100, 200, 250, 300, 350, 375, 400, 415)


class Simulation:
    """One case at one request rate."""

    def __init__(self, case: Case, rate: float, cpu_ms: float) -> None:
        self.random = random.Random(1)  # noqa: S311
        self.case, self.rate, self.cpu_s = case, rate, cpu_ms / 1000
        self.clock = simpy.Environment()
        self.workers = [simpy.Resource(self.clock) for _ in range(case.workers)]
        self.engine = simpy.Resource(self.clock, ENGINE_CORES)
        self.added: list[float] = []

    def run(self) -> list[float]:
        """Return the seconds that each request took beyond the model's time."""
        self.clock.process(self.arrivals())
        if self.case.reads:
            self.clock.process(self.readers())
        self.clock.run(until=REQUESTS / self.rate + MODEL_S)
        return self.added[len(self.added) // 5 :]

    def arrivals(self) -> Steps:
        while True:
            yield self.clock.timeout(self.random.expovariate(self.rate))
            self.clock.process(self.request(self.random.choice(self.workers)))

    def readers(self) -> Steps:
        while True:
            yield self.clock.timeout(self.random.expovariate(self.case.reads))
            self.clock.process(self.held(self.engine, self.case.scan_ms / 1000))

    def request(self, worker: simpy.Resource) -> Steps:
        start = self.clock.now
        for resource, seconds in ((worker, self.cpu_s / 2), (self.engine, CALL_MS / 1000)) * 2:
            yield self.clock.process(self.held(resource, seconds))
        self.added.append(self.clock.now - start)  # the model answers between the two and delays no other request

    def held(self, resource: simpy.Resource, seconds: float) -> Steps:
        with resource.request() as turn:
            yield turn
            yield self.clock.timeout(seconds)


def percentiles(seconds: list[float]) -> tuple[float, float]:
    """Return median and 99th percentile in ms."""
    return statistics.median(seconds) * 1000, statistics.quantiles(seconds, n=100)[98] * 1000


def bends_at(line: dict[int, tuple[float, float]]) -> str:
    """Return the first rate at which 1 of 100 requests waits three times as long as on an idle system."""
    least = min(p50 for p50, _ in line.values())
    rate = next((rate for rate, (_, p99) in line.items() if p99 > 3 * least), None)
    return f"{rate}" if rate else f"over {max(line)}"


def carried(case: Case, cpu_ms: float) -> list[str]:
    """Return the requests a second that saturate the workers and Cycles."""
    engine = max(0.0, ENGINE_CORES - case.reads * case.scan_ms / 1000) / (2 * CALL_MS / 1000)
    return [f"{case.workers * 1000 / cpu_ms:,.0f}", f"{engine:,.0f}"]


@mpl.rc_context({"svg.hashsalt": "scale"})  # same figures, same bytes
def plot(lines: dict[Case, dict[int, tuple[float, float]]], target: Path) -> None:
    figure = Figure(figsize=(8, 4), layout="tight")
    axis = figure.subplots()
    for case, line in lines.items():
        axis.plot(list(line), [p99 for _, p99 in line.values()], marker="o", markersize=3, label=case.name)
    axis.set(xlabel="paid requests a second, one engine on two cores", ylabel="added latency, p99 (ms)", ylim=(0, 200))
    axis.legend()
    figure.savefig(target, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpu-ms", type=float, default=1.3, help="a worker's CPU for a request, see docs/speed.md")
    cpu_ms = parser.parse_args().cpu_ms
    lines = {case: {rate: percentiles(Simulation(case, rate, cpu_ms).run()) for rate in RATES} for case in CASES}
    told = [
        "| case | workers carry | the engine carries | bends at | added at 100/s: p50, p99 |",
        "|---|---:|---:|---:|---:|",
    ]
    for case, line in lines.items():
        cells = [case.name, *carried(case, cpu_ms), bends_at(line), "{:.0f} ms, {:.0f} ms".format(*line[100])]
        told.append(f"| {' | '.join(cells)} |")
    told += ["", "| a day's load, for 30 days | keys in Redis | one read of balances |", "|---|---:|---:|"]
    for rate in (0.01, 0.1, 1, 10):
        keys = rate * 30 * 24 * 3600 * KEYS
        told.append(f"| {rate:g} requests a second | {keys:,.0f} | {keys * SCAN_MS / 1000:,.2f} s |")
    page = ROOT / "docs/scale.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(MARK)
    page.write_text("\n".join([before + MARK, *told, MARK]) + rest.partition(MARK)[2], encoding="utf-8")
    plot(lines, ROOT / "docs/scale.svg")
    print("\n".join(told))


if __name__ == "__main__":
    main()
