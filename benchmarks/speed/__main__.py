"""Cost of the guard per request: `uv run python -m benchmarks.speed [--rounds 3] [--seconds 3] [-c 1 16 64]`.

Measures the generated projects, the official guide's wiring, two bare round trips (floor) and a bare route, against an
instant stand-in for Cycles, so that only the app's own cost shows. Rows are measured in turns and compared within a
round, which cancels noise. The servers use one core, load and stand-in the other. Then measures limits.py. Writes the
figures of docs/speed.md, docs/speed.svg and docs/growth.svg. Needs Linux and wrk.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from tests.conftest import ROOT

from .limits import Limit, limits_of
from .projects import Project, make
from .servers import HERE, PROMPT, Sample, Servers, load, machine, wait_for

MARK = "<!-- figures -->"
"""Encloses the part of docs/speed.md that this module writes."""


@dataclass(frozen=True, eq=False)
class Row:
    """One measured row. Rows with the same `server` share a process."""

    framework: str
    name: str
    server: str
    url: str
    headers: dict[str, str]
    refused: bool = False


def rows_of(framework: str, project: Project, servers: Servers) -> list[Row]:
    uvicorn = [str(project.python), "-m", "uvicorn", "--no-access-log", "--log-level", "warning", "--port", "{port}"]
    rivals = HERE / "rivals"
    floor = [*uvicorn, "--lifespan", "on" if framework == "fastapi" else "off", f"{framework}_floor:app"]
    guide = [*uvicorn, "fastapi_guide:app"]
    if framework == "django":
        guide = [str(project.python), "-m", "gunicorn", "-k", "gthread", "--threads", "16", "-b", "127.0.0.1:{port}"]
        guide += ["--log-level", "warning", "django_guide:app"]
    at = {
        "floor": servers.start(f"{framework} floor", floor, {}, rivals),
        "guide": servers.start(f"{framework} guide", guide, {}, rivals),
        "this": servers.start(f"{framework} this", project.serve, project.environment, project.folder),
    }
    acme, broke = project.headers["acme"], project.headers["broke"]
    return [
        Row(framework, "bare", f"{framework} floor", f"{at['floor']}/api/bare", {}),
        Row(framework, "floor", f"{framework} floor", f"{at['floor']}/api/chat", {}),
        Row(framework, "guide", f"{framework} guide", f"{at['guide']}/api/chat", {}),
        Row(framework, "this", f"{framework} this", f"{at['this']}/api/chat", acme),
        Row(framework, "this, denied", f"{framework} this", f"{at['this']}/api/chat", broke, refused=True),
    ]


def measure(row: Row, servers: Servers, connections: int, seconds: int) -> Sample:
    sample = load(servers, row.server, row.url, [row.headers], connections, seconds)
    if sample.refused != row.refused:
        sys.exit(f"{row.framework} {row.name}: {sample.refused:.0%} were refused")
    return sample


Samples = dict[tuple[Row, int], list[Sample]]


def base_of(samples: Samples, row: Row, name: str) -> Row:
    return next(each for each, _ in samples if (each.framework, each.name) == (row.framework, name))


def middle(got: list[Sample], figure: str) -> float:
    return float(statistics.median(getattr(sample, figure) for sample in got))


def ratio(samples: Samples, row: Row, base: str, connections: int) -> float:
    """Return the median over the rounds of `row`'s requests a second divided by those of `base`."""
    other = base_of(samples, row, base)
    pairs = zip(samples[row, connections], samples[other, connections], strict=True)
    return statistics.median(one.rps / two.rps for one, two in pairs)


def table(samples: Samples) -> list[str]:
    """Return Markdown: medians, and the range of the requests a second."""
    lines = [
        "| row | c | rps | least-most | p50 ms | p99 ms | over bare | CPU ms | calls | x guide | x floor | x bare |"
    ]
    lines.append("|---|" + "---:|" * 11)
    for (row, connections), got in samples.items():
        rps = [sample.rps for sample in got]
        bare = samples[base_of(samples, row, "bare"), connections]
        ratios = [ratio(samples, row, base, connections) for base in ("guide", "floor", "bare")]
        cells = [f"{row.framework} {row.name}", str(connections), f"{statistics.median(rps):.0f}"]
        cells += [f"{min(rps):.0f}-{max(rps):.0f}", f"{middle(got, 'p50_ms'):.2f}", f"{middle(got, 'p99_ms'):.2f}"]
        cells += [f"{middle(got, 'p50_ms') - middle(bare, 'p50_ms'):+.2f}", f"{middle(got, 'cpu_ms'):.2f}"]
        cells += [f"{middle(got, 'calls'):.2f}", *(f"{each:.2f}" for each in ratios)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


@mpl.rc_context({"svg.hashsalt": "speed"})  # same figures, same bytes
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


@mpl.rc_context({"svg.hashsalt": "growth"})
def plot_growth(limits: list[tuple[str, Limit]], target: Path) -> None:
    """Plot growth: a panel per growing quantity, a line per framework."""
    grown = list(dict.fromkeys(limit.what for _, limit in limits if limit.points))
    figure = Figure(figsize=(5 * len(grown), 3.4), layout="tight")
    for axis, what in zip(figure.subplots(1, len(grown), squeeze=False)[0], grown, strict=True):
        for framework, limit in limits:
            if limit.what == what:
                axis.plot([*limit.points], [*limit.points.values()], marker="o", label=framework)
        axis.set_title(what, fontsize="small")
        axis.set_ylim(bottom=0)
        axis.legend()
    figure.savefig(target, metadata={"Date": None})


def version_of(project: Project) -> str:
    return subprocess.run([project.python, "--version"], check=True, capture_output=True, text=True).stdout.strip()


def origin(options: argparse.Namespace, where: str) -> str:
    command = f"uv run python -m benchmarks.speed --rounds {options.rounds} --seconds {options.seconds}"
    return f"Medians of {options.rounds} rounds of {options.seconds} s, from `{command}`\non {where}."


def samples_in_order(samples: Samples, rows: list[Row], connections: list[int]) -> Samples:
    return {(row, c): samples[row, c] for c in connections for row in rows}


class Report:
    """The page and its plots, rewritten with each new figure."""

    def __init__(self, folder: Path, origin: str, samples: Samples) -> None:
        self._page = folder / "speed.md"
        self._rows = [origin, "", *table(samples), "", "| what | figure | goal |", "|---|---|---|"]
        self.text = ""
        plot(samples, folder / "speed.svg")

    def write(self, limits: list[tuple[str, Limit]]) -> None:
        measured = [f"| {framework}: {each.what} | {each.figure} | {each.goal} |" for framework, each in limits]
        self.text = "\n".join([*self._rows, *measured])
        before, mark, rest = self._page.read_text(encoding="utf-8").partition(MARK)
        assert mark, f"no {MARK} in {self._page}"
        self._page.write_text(f"{before}{MARK}\n{self.text}\n{MARK}{rest.partition(MARK)[2]}", encoding="utf-8")


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
    where = machine()  # before our own load
    samples: Samples = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        scratch = Path(folder)
        projects = {framework: make(framework, scratch) for framework in options.frameworks}
        where += f"; {', '.join({version_of(project) for project in projects.values()})}"
        servers = Servers(stack, scratch)
        rows = [row for framework, project in projects.items() for row in rows_of(framework, project, servers)]
        for row in rows:
            wait_for(row.url, json=PROMPT, headers=row.headers)
            measure(row, servers, 4, 1)  # warm up
        for turn in range(options.rounds):
            for connections in options.connections:
                for row in rows if turn % 2 == 0 else reversed(rows):
                    sample = measure(row, servers, connections, options.seconds)
                    samples.setdefault((row, connections), []).append(sample)
                    print(f"{turn + 1}: {row.framework} {row.name} c={connections}: {sample.rps:.0f}", file=sys.stderr)
        report = Report(options.output, origin(options, where), samples_in_order(samples, rows, options.connections))
        limits: list[tuple[str, Limit]] = []
        report.write(limits)  # keep the rows if the rest fails
        for framework, project in projects.items():
            for limit in limits_of(framework, project, servers, options.seconds):
                limits.append((framework, limit))
                report.write(limits)
    plot_growth(limits, options.output / "growth.svg")
    print(report.text)


main()
