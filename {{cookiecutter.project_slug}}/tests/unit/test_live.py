import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from runcycles.journal import PendingCommitRecord

from {{ cookiecutter.__package }}.budget.live import PAGE, Commit, Live, Remains

from ..running import ROOT

DIES = """
import os, pathlib, signal
from runcycles.journal import PendingCommitRecord
from {{ cookiecutter.__package }}.budget.live import Commit, Live
live = Live(pathlib.Path.cwd())
live.change(1, 500)
live.change(1, 300)
live.change(-1, -500)
live.keep(Commit("acme-1", PendingCommitRecord("r-1", "http://cycles.test", commit_body={"note": "\\u00fc\\0"})))
os.kill(os.getpid(), signal.SIGKILL)
"""
ENTRY = PendingCommitRecord("r-1", "http://cycles.test", commit_body={"idempotency_key": "k"})
COMMIT = Commit("acme-1", ENTRY)


def killed(folder: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", DIES], cwd=folder, env=environment, check=False)
    assert done.returncode == -9


def buried(folder: Path) -> list[Remains]:
    found = []
    for remains in Live(folder).remains():
        found.append(remains)
        remains.bury()
    return found


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    """What this process keeps, with its file."""
    ours = Live(tmp_path)
    ours.change(0, 0)
    yield ours
    ours.close()


def test_what_a_killed_process_held_is_told_once_and_what_a_living_one_holds_is_not(tmp_path: Path) -> None:
    living = [Live(tmp_path) for _ in range(2)]
    for each in living:
        each.change(2, 7_000)
    for _ in range(2):
        killed(tmp_path)
    folder = tmp_path / "live"
    (folder / "cut-short.live").touch()
    assert sorted((each.holds, each.microcents) for each in buried(tmp_path)) == [(0, 0), (1, 300), (1, 300)]
    assert buried(tmp_path) == []
    assert [each.stat().st_mode & 0o777 for each in (folder, *folder.iterdir())] == [0o700, 0o600, 0o600]
    for each in living:
        each.close()
    assert [(each.holds, each.microcents) for each in buried(tmp_path)] == [(2, 7_000)] * 2, "both are gone now"


def test_what_a_killed_process_had_on_its_way_is_left_until_it_is_taken_over(tmp_path: Path) -> None:
    killed(tmp_path)
    for taken in (False, True):
        (remains,) = buried(tmp_path) if taken else Live(tmp_path).remains()
        (commit,) = remains.commits
        assert (commit.folder, commit.entry.reservation_id) == ("acme-1", "r-1")
        assert commit.entry.commit_body == {"note": "\u00fc\0"}
        assert not remains.torn
    assert [*(tmp_path / "live").iterdir()] == []


def commit_named(reservation_id: str, note: str = "") -> Commit:
    return Commit("acme-1", replace(ENTRY, reservation_id=reservation_id, commit_body={"note": note}))


def test_what_is_settled_is_not_left_and_what_took_its_page_is(live: Live) -> None:
    for name in ("r-1", "r-2", "r-3"):
        assert live.keep(commit_named(name, note="n" * 500))
    for name in ("r-2", "r-1"):
        assert live.drop("acme-1", name)
    last = commit_named("r-4")  # shorter, over what r-1 has left
    assert live.keep(last)
    assert live.drop("acme-1", "r-4")
    assert live.keep(last)
    assert [*live.remains()] == [], "its process lives"
    live.close()
    (remains,) = live.remains()
    assert remains.commits == [last, commit_named("r-3", note="n" * 500)]
    assert not remains.torn


def test_a_free_page_hides_none_behind_it(live: Live) -> None:
    for name in ("r-1", "r-2"):
        assert live.keep(commit_named(name))
    assert live.drop("acme-1", "r-1")
    live.close()
    (remains,) = live.remains()
    assert (remains.commits, remains.torn) == ([commit_named("r-2")], False)


def test_a_page_that_a_dying_machine_has_torn_is_set_aside_and_the_others_are_told(tmp_path: Path, live: Live) -> None:
    for name in ("r-1", "r-2"):
        assert live.keep(commit_named(name))
    live.close()
    (file,) = (tmp_path / "live").iterdir()
    for torn in (b'acme-1\n{"version', b"\xff"):
        with file.open("rb+") as pages:
            pages.seek(PAGE)
            pages.write(torn + b"\0" * 100)
        (remains,) = live.remains()
        assert (remains.torn, remains.commits) == (True, [commit_named("r-2")])
    remains.bury()
    assert [each.name for each in (tmp_path / "live").iterdir()] == [f"{file.stem}.corrupt"]


def test_a_commit_is_kept_once_and_its_page_is_used_again(tmp_path: Path, live: Live) -> None:
    for _ in range(3):
        assert live.keep(COMMIT)
        assert not live.keep(COMMIT), "it is kept already"
        assert live.kept_for(0.0) == [COMMIT]
        assert live.kept_for(60.0) == []
        assert live.drop(COMMIT.folder, "r-1")
        assert not live.drop(COMMIT.folder, "r-1")
    (file,) = (tmp_path / "live").iterdir()
    assert PAGE < file.stat().st_size <= 2 * PAGE


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_what_cannot_be_kept_changes_nothing(tmp_path: Path, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Live(tmp_path).keep(COMMIT), "it holds nothing yet, so it has no file"
    assert not live.keep(replace(COMMIT, entry=replace(ENTRY, commit_body={"note": "n" * PAGE})))
    for error in (OSError(28, "No space left on device"), ValueError("I/O operation on closed file")):
        with monkeypatch.context() as disk:
            disk.setattr(os, "pwrite", failing(error))
            assert not live.keep(COMMIT)
        assert live.kept_for(0.0) == []
        assert live.keep(COMMIT)
        with monkeypatch.context() as disk:
            disk.setattr(os, "pwrite", failing(error))
            assert live.drop(COMMIT.folder, "r-1")
        assert live.kept_for(0.0) == []


def test_a_forked_child_begins_with_a_file_of_its_own(live: Live) -> None:
    assert live.keep(COMMIT)
    child = os.fork()
    if not child:
        kept = live.kept_for(0.0)
        live.change(1, 10)
        live.keep(replace(COMMIT, folder="childs"))
        os._exit(len(kept))  # without a word to pytest
    assert os.waitpid(child, 0)[1] == 0, "the child has its parent's commit"
    (remains,) = live.remains()
    assert [commit.folder for commit in remains.commits] == ["childs"]
    assert live.kept_for(0.0) == [COMMIT]


def test_nothing_is_left_behind_where_there_was_nothing(tmp_path: Path) -> None:
    assert buried(tmp_path / "none") == []


def test_a_file_that_another_process_took_over_between_open_and_lock_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed(tmp_path)
    flock = fcntl.flock
    quicker: list[object] = []

    def late(file: int, how: int) -> None:
        if not quicker:
            quicker.append(None)
            quicker.extend(buried(tmp_path))
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    assert buried(tmp_path) == []
    assert len(quicker) == 2
