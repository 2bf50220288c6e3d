"""Time to generate a project, compared with an empty template: `uv run python -m benchmarks.bake [ROUNDS]`.

Generates them in turns, so that a busy machine slows all. Prints medians in seconds and in seconds of CPU, and each
project's multiple of the empty template in the same round. It takes little but Cookiecutter's own start, so it is
measured in two ways: without Cookiecutter's bytecode, as after an installation and in containers (goal: 1.6), and with
it. Set TMPDIR to measure another file system.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

from tests.conftest import UV, copy_template

GOAL = 1.6


def bake(python: Path, template: Path, output: Path, *answers: str) -> tuple[float, float]:
    """Generate a project in its own process. Return seconds, and seconds of CPU with those of the hooks."""
    command = [str(python), "-m", "cookiecutter", "--no-input", "--default-config", "-o", str(output), str(template)]
    command += answers
    start, cpu = time.perf_counter(), cpu_of_children()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start, cpu_of_children() - cpu


def cpu_of_children() -> float:
    used = os.times()
    return used.children_user + used.children_system


def empty_template(folder: Path) -> Path:
    (folder / "{{cookiecutter.name}}").mkdir(parents=True)
    (folder / "cookiecutter.json").write_text('{"name": "empty"}')
    return folder


def without_bytecode(folder: Path) -> Path:
    """Return the Python of a new environment with Cookiecutter, without bytecode."""
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    cookiecutter = f"cookiecutter=={version('cookiecutter')}"
    subprocess.run([UV, "pip", "install", "--quiet", "--python", str(folder), cookiecutter], check=True)
    return folder / "bin/python"


def measure(python: Path, scratch: Path, rounds: int) -> float:
    """Print the medians with this Python. Return the larger ratio of the two frameworks."""
    this, empty = copy_template(scratch / "this"), empty_template(scratch / "empty")
    rows: dict[str, tuple[Path, list[str]]] = {
        name: (this, [f"framework={name}"]) for name in ("fastapi", "django")
    } | {"empty": (empty, [])}
    for name, (template, answers) in rows.items():
        bake(python, template, scratch / f"{name}-first", *answers)
    times = [
        {
            name: bake(python, template, scratch / f"{name}{number}", *answers)
            for name, (template, answers) in rows.items()
        }
        for number in range(rounds)
    ]
    largest = 0.0
    for name in rows:
        for kind, unit in enumerate(("s", "s of CPU")):
            median = statistics.median(time[name][kind] for time in times)
            ratio = statistics.median(time[name][kind] / time["empty"][kind] for time in times)
            print(f"{name}: {median:.2f} {unit}, {ratio:.2f} times the empty template's")
            largest = max(largest, ratio if kind == 0 else 0)
    return largest


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        print("Without bytecode of Cookiecutter:")
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        first = measure(without_bytecode(scratch / "environment"), scratch / "first", rounds)
        print("With it:")
        os.environ["PYTHONDONTWRITEBYTECODE"] = ""
        measure(Path(sys.executable), scratch / "later", rounds)
    if first > GOAL:
        sys.exit(f"more than {GOAL} times")


main(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
