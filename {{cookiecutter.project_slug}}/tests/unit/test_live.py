import os
import subprocess
import sys
from pathlib import Path

from {{ cookiecutter.__package }}.budget.live import LiveHolds

from ..running import ROOT

DIES = """
import os, pathlib, signal
from {{ cookiecutter.__package }}.budget.live import LiveHolds
live = LiveHolds(pathlib.Path.cwd())
live.change(1, 500)
live.change(1, 300)
live.change(-1, -500)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_held_is_told_once_and_what_a_living_one_holds_is_not(tmp_path: Path) -> None:
    living = [LiveHolds(tmp_path) for _ in range(2)]
    for each in living:
        each.change(2, 7_000)
    for _ in range(2):
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", DIES], cwd=tmp_path, env=environment, check=False)
    folder = tmp_path / "live"
    (folder / "cut-short.live").touch()
    assert LiveHolds(tmp_path).left_behind() == (2, 600)
    assert LiveHolds(tmp_path).left_behind() == (0, 0)
    assert (len([*folder.iterdir()]), folder.stat().st_mode & 0o777) == (2, 0o700)
    for each in living:
        each.change(-2, -7_000)


def test_nothing_is_left_behind_where_there_was_nothing(tmp_path: Path) -> None:
    assert LiveHolds(tmp_path / "none").left_behind() == (0, 0)
