"""How long a bake takes, beside an empty template's: `uv run python -m benchmarks.bake [ROUNDS]`.

The two are baked in turns, so that a busy machine slows both. Prints medians in seconds; the goal is 2 s.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.conftest import copy_template

GOAL_S = 2.0


def bake(template: Path, output: Path) -> float:
    """Bake with default answers, in a process of its own. Returns seconds."""
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "--default-config", "-o", str(output), str(template)]
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def empty_template(folder: Path) -> Path:
    (folder / "{{cookiecutter.name}}").mkdir(parents=True)
    (folder / "cookiecutter.json").write_text('{"name": "empty"}')
    return folder


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        templates = {"this": copy_template(scratch / "this"), "empty": empty_template(scratch / "empty")}
        for template in templates.values():
            bake(template, scratch / "warm-up")
        times = [
            {name: bake(template, scratch / f"{name}{number}") for name, template in templates.items()}
            for number in range(rounds)
        ]
    this, empty = (statistics.median(time[name] for time in times) for name in templates)
    difference = statistics.median(time["this"] - time["empty"] for time in times)
    print(f"{rounds} rounds: {this:.2f} s, empty template {empty:.2f} s, pairwise difference {difference:.2f} s")
    if this > GOAL_S:
        sys.exit(f"more than {GOAL_S} s")


main(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
