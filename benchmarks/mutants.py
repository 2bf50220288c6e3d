"""How many faults planted in budget/ its tests find: `uv run python -m benchmarks.mutants [MODULE ...]`, minutes each.

Bakes a project, changes one thing in a module at a time (mutmut) and runs the unit tests that need no server. Prints
what mutmut counts, and the names of those that survive: `uvx mutmut show NAME` in the folder that is named shows one.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import UV, copy_template, user_environment

MODULES = ("prices", "breaker", "subject", "balances", "live", "fail_open", "guard")
TESTS = ("test_prices.py", "test_budget_parts.py", "test_live.py", "test_guard.py")
CONFIGURATION = """
[tool.mutmut]
source_paths = ["acme_chat"]
only_mutate = [{modules}]
also_copy = ["emulator", "dev.py", "dev_identity.py", "dev_tenancy.py", ".env.example"]
pytest_add_cli_args_test_selection = [{tests}]
"""


def quoted(paths: list[str]) -> str:
    return ", ".join(f'"{path}"' for path in paths)


def main(modules: list[str]) -> None:
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    template = copy_template(folder / "template")
    bake = [sys.executable, "-m", "cookiecutter", "--no-input", "--default-config", "-o", str(folder), str(template)]
    subprocess.run(bake, check=True)
    project = folder / "acme-chat"
    with (project / "pyproject.toml").open("a", encoding="utf-8") as pyproject:
        paths = [f"acme_chat/budget/{module}.py" for module in modules]
        tests = [f"tests/unit/{test}" for test in TESTS]
        pyproject.write(CONFIGURATION.format(modules=quoted(paths), tests=quoted(tests)))
    print(f"in {project}", flush=True)
    for command in (["run", "--max-children", "2"], ["results"]):
        mutmut = [UV, "run", "--quiet", "--with", "mutmut>=3.4", "mutmut", *command]
        subprocess.run(mutmut, cwd=project, env=user_environment(), check=False)


if __name__ == "__main__":
    main(sys.argv[1:] or list(MODULES))
