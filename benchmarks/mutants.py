"""Share of planted faults in the money path that tests find: `uv run python -m benchmarks.mutants [MODULE ...]`.

Generates a FastAPI project, changes one thing in a module at a time (mutmut), and runs the unit tests that reach the
changed function. Prints figures per module, and the changes that no test found.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import UV, copy_template, user_environment
from tests.overlay import lay_over

TESTS = {
    "prices": ["test_prices.py", "test_bounds.py", "test_metering.py"],
    "breaker": ["test_budget_parts.py"],
    "subject": ["test_budget_parts.py", "test_guard.py"],
    "balances": ["test_budget_parts.py", "test_preflight.py", "test_guard.py", "test_client.py"],
    "metering": ["test_metering.py", "test_meter.py", "test_vendor.py", "test_demo_provider.py", "test_guard.py"],
    "hold": ["test_guard.py", "test_runs.py", "test_client.py", "test_observe.py"],
    "heartbeat": ["test_heartbeat.py"],
    "guard": [
        *("test_guard.py", "test_nothing_lost.py", "test_cycles_keys.py", "test_preflight.py", "test_runs.py"),
        "test_observe.py",
    ],
    "client": [
        *("test_client.py", "test_outbox.py", "test_heartbeat.py", "test_guard.py", "test_nothing_lost.py"),
        *("test_cycles_keys.py", "test_recovery_profile.py"),
    ],
    "outbox": ["test_outbox.py", "test_client.py", "test_nothing_lost.py", "test_recovery_profile.py"],
    "sweeper": ["test_sweeper.py", "test_nothing_lost.py", "test_client.py", "test_cycles_keys.py"],
    "fail_open": ["test_outbox.py", "test_guard.py", "test_nothing_lost.py"],
    "runs": ["test_runs.py"],
}
"""The modules of the money path, and the tests in tests/unit/ that reach them."""
CONFIGURATION = """
[tool.mutmut]
source_paths = ["acme_chat"]
only_mutate = ["{path}"]
also_copy = ["emulator", "dev.py", "dev_identity.py", "dev_tenancy.py", ".env.example"]
pytest_add_cli_args_test_selection = {tests}
pytest_add_cli_args = ["-p", "no:cacheprovider", "--timeout=20", "-k", "not wherever_a_call and not slow_function"]
timeout_multiplier = 3.0
timeout_constant = 3.0
use_git_change_detection = false
"""
MUTMUT = [UV, "run", "--quiet", "--with", "mutmut>=3.8,<4", "mutmut"]
TIMED_OUT = {24, 36, 152, 255, -24}  # mutmut's exit codes
FOUND = {1, 3, -11, -9, *TIMED_OUT}


def baked(folder: Path) -> Path:
    template = copy_template(folder / "template")
    bake = [sys.executable, "-m", "cookiecutter", "--no-input", "--default-config", "-o", str(folder), str(template)]
    subprocess.run(bake, check=True)
    lay_over(folder / "acme-chat", {})
    return folder / "acme-chat"


def run_in(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    # derandomized, so that a fault is found each time or never
    environment = user_environment() | {"CI": "true"}
    return subprocess.run(command, cwd=project, env=environment, text=True, capture_output=True, check=False)


def examine(project: Path, module: str, mutmut: list[str]) -> None:
    """Plant the faults of one module, and print what became of them."""
    shutil.rmtree(project / "mutants", ignore_errors=True)  # which tests reach what is kept there, by another selection
    pyproject = project / "pyproject.toml"
    original = pyproject.read_text("utf-8")
    tests = [f"tests/unit/{name}" for name in TESTS[module]]
    (path,) = (file.relative_to(project).as_posix() for file in (project / "acme_chat").rglob(f"{module}.py"))
    pyproject.write_text(original + CONFIGURATION.format(path=path, tests=json.dumps(tests)), "utf-8")
    ran = run_in(project, *mutmut, "run", "--max-children", "2")
    meta = project / f"mutants/{path}.meta"
    codes: dict[str, int | None] = json.loads(meta.read_text("utf-8"))["exit_code_by_key"] if meta.exists() else {}
    if not codes or None in codes.values():
        sys.exit(ran.stdout[-3_000:])
    missed = [name for name, code in codes.items() if code not in FOUND]
    found = len(codes) - len(missed)
    late = sum(code in TIMED_OUT for code in codes.values())
    print(f"| {module} | {len(codes)} | {found} | {late} | {found / len(codes):.0%} |", flush=True)
    for name in missed:
        changed = run_in(project, *mutmut, "show", name).stdout.splitlines()
        print(name, *(line for line in changed if line[:1] in "+-" and line[:3] not in ("+++", "---")), sep="\n  ")
    pyproject.write_text(original, "utf-8")


def main(modules: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        project = baked(Path(folder))
        print("| module | planted | found | of these by hanging | |")
        for module in modules:
            examine(project, module, MUTMUT)


if __name__ == "__main__":
    main(sys.argv[1:] or list(TESTS))
