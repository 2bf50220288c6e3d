"""How long a bake takes, beside an empty template's: `uv run python -m benchmarks.bake [ROUNDS]`.

They are baked in turns, so that a busy machine slows all. Prints medians in seconds, and how many times as long as the
empty template each framework's project took in the same round; the goal is 1.6.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.conftest import copy_template

GOAL = 1.6


def bake(template: Path, output: Path, *answers: str) -> float:
    """Bake with these answers, the rest by default, in a process of its own. Returns seconds."""
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "--default-config", "-o", str(output), str(template)]
    command += answers
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
        this, empty = copy_template(scratch / "this"), empty_template(scratch / "empty")
        rows: dict[str, tuple[Path, list[str]]] = {
            name: (this, [f"framework={name}"]) for name in ("fastapi", "django")
        } | {"empty": (empty, [])}
        for template, answers in rows.values():
            bake(template, scratch / "warm-up", *answers)
            shutil.rmtree(scratch / "warm-up")
        times = [
            {name: bake(template, scratch / f"{name}{number}", *answers) for name, (template, answers) in rows.items()}
            for number in range(rounds)
        ]
    ratios = {name: statistics.median(time[name] / time["empty"] for time in times) for name in rows}
    for name, ratio in ratios.items():
        print(
            f"{name}: {statistics.median(time[name] for time in times):.2f} s, {ratio:.2f} times the empty template's"
        )
    if max(ratios.values()) > GOAL:
        sys.exit(f"more than {GOAL} times")


main(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
