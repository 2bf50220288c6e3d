"""A bake that is interrupted, or meets a folder: nothing half made is left without a word."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Bake, BakedProject
from .test_demo import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals to a process group are for POSIX")

MOMENTS = {
    "before the first hook has ended": "",
    "while it is rendered": "_choices",
    "while the chosen alternatives are laid": "LICENSE",
}


def start(template: Path, folder: Path, *options: str) -> subprocess.Popen[str]:
    """A bake of the defaults into `folder` by the command line, in a process group of its own."""
    folder.mkdir(exist_ok=True)
    config = folder.parent / "config.yaml"
    config.write_text(json.dumps({"replay_dir": str(folder.parent / "replay")}))
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "--config-file", config, *options, "-o", folder]
    return subprocess.Popen(
        [*map(str, command), str(template)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name)
def test_an_interrupted_bake_leaves_nothing_or_says_that_it_is_unfinished(
    template: Path, bake_once: Bake, tmp_path: Path, moment: str, end: signal.Signals
) -> None:
    whole, project = bake_once().files, tmp_path / "out/acme-chat"
    with start(template, tmp_path / "out") as running:
        reached = (project / moment).exists
        wait_until(lambda: reached() or running.poll() is not None, "the bake", seconds=60, every_s=0.002)
        os.killpg(running.pid, end)
        running.communicate(timeout=60)
    left = [*project.iterdir()] if project.exists() else []
    is_whole = BakedProject(project, {}).files == whole  # it had ended this moment
    assert left == [] or is_whole or "interrupted" in (project / "UNFINISHED.txt").read_text()


def test_a_project_that_was_made_to_its_end_is_not_called_unfinished(template: Path, tmp_path: Path) -> None:
    with start(template, tmp_path / "out") as running:
        running.communicate(timeout=60)
    assert running.returncode == 0
    assert Path("UNFINISHED.txt") not in BakedProject(tmp_path / "out/acme-chat", {}).files


def test_over_a_folder_that_is_there_nothing_is_baked_unless_it_is_asked_for(template: Path, tmp_path: Path) -> None:
    mine = tmp_path / "out/acme-chat/mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("kept")
    with start(template, tmp_path / "out") as refused:
        said = "".join(refused.communicate(timeout=60))
    assert refused.returncode == 1
    assert "already exists" in said
    assert [*mine.parent.iterdir()] == [mine]

    with start(template, tmp_path / "out", "--overwrite-if-exists") as running:
        output, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    assert "NOTE: generated into an existing folder" in output
    assert mine.read_text() == "kept"
