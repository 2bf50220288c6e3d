"""Tests that share an environment run in one worker: else each worker would make its own, without a warning."""

import os
import subprocess
import sys
from pathlib import Path

GROUPED = """
import os
import pytest

@pytest.mark.parametrize("number", [pytest.param(n, marks=pytest.mark.xdist_group(str(n // 3))) for n in range(6)])
def test_it(number):
    open(f"{number // 3}-{os.getpid()}", "w").close()
"""


def test_tests_of_one_group_run_in_one_worker(tmp_path: Path) -> None:
    (tmp_path / "test_grouped.py").write_text(GROUPED)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "--rootdir", str(tmp_path)]
    subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, check=True)
    assert len({path.name for path in tmp_path.glob("[01]-*")}) == 2
