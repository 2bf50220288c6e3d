"""CPU and latency of a paid request, compared with another commit: `uv run python -m benchmarks.compare COMMIT`.

Both projects serve at once, against the same instant stand-in for Cycles, and are measured in turns. With `--vendor`
they ask a local process that speaks OpenAI's API; otherwise the demo provider answers. A ratio is the median over the
rounds of this work tree's figure divided by the other's in the same round. Needs Linux and wrk.
"""

import argparse
import io
import statistics
import subprocess
import tarfile
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.conftest import ROOT

from .speed.projects import make
from .speed.servers import PROMPT, Sample, Servers, load, machine, start_vendor, wait_for

NAMES = ("this", "other")


def template_at(commit: str, folder: Path) -> Path:
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


def compare(framework: str, options: argparse.Namespace, scratch: Path) -> list[str]:
    """Measure one framework. Return a Markdown row per number of callers."""
    lines = []
    with ExitStack() as stack:
        templates = {"this": None, "other": template_at(options.commit, scratch / f"at-{framework}")}
        provider = "openai" if options.vendor else "demo"
        projects = {name: make(framework, scratch / name, templates[name], provider) for name in NAMES}
        servers = Servers(stack, scratch)
        settings = start_vendor(servers) if options.vendor else {}
        url, headers = {}, {}
        for name, project in projects.items():
            url[name] = f"{servers.start(name, project.serve, project.environment | settings, project.folder)}/api/chat"
            headers[name] = project.headers["acme"]
            wait_for(url[name], json=PROMPT, headers=headers[name])
            load(servers, name, url[name], [headers[name]], 4, 2)  # warm up
        for connections in options.connections:
            samples: dict[str, list[Sample]] = {name: [] for name in NAMES}
            for turn in range(options.rounds):
                for name in NAMES if turn % 2 else reversed(NAMES):
                    sample = load(servers, name, url[name], [headers[name]], connections, options.seconds)
                    samples[name].append(sample)
            pairs = list(zip(samples["this"], samples["other"], strict=True))
            ratio = statistics.median(one.cpu_ms / other.cpu_ms for one, other in pairs)
            cells = [framework, str(connections), f"{ratio:.2f}"]
            for figure in ("cpu_ms", "p50_ms", "p99_ms"):
                cells += [f"{statistics.median(getattr(each, figure) for each in samples[name]):.2f}" for name in NAMES]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--frameworks", nargs="+", default=["fastapi", "django"])
    parser.add_argument("--vendor", action="store_true")
    parser.add_argument("-c", "--connections", nargs="+", type=int, default=[1, 16, 64])
    options = parser.parse_args()
    print(f"{machine()}; this work tree beside {options.commit}, {options.rounds} rounds of {options.seconds} s\n")
    print("| | callers | CPU ratio | CPU ms | other | p50 ms | other | p99 ms | other |")
    print("|---|" + "---:|" * 8)
    with tempfile.TemporaryDirectory() as folder:
        for framework in options.frameworks:
            for line in compare(framework, options, Path(folder)):
                print(line, flush=True)


main()
