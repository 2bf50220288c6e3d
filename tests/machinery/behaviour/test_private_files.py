"""Who may read what the app writes: settlements, sessions, sealed keys."""

import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from ..running import HTTP, App

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")

HELLO = {"prompt": "Hello"}


def modes(folder: Path) -> dict[str, int]:
    found = {}
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # SQLite removes some of its files
            found[path.relative_to(folder).as_posix()] = stat.S_IMODE(path.stat().st_mode)
    return found


def test_files_are_created_for_their_owner_alone_and_looser_ones_are_tightened(installed: App, tmp_path: Path) -> None:
    database, outbox = tmp_path / "var/data/app.sqlite3", tmp_path / "var/of/the/journal/outbox.sqlite3"
    settings = {"DATABASE_URL": f"sqlite:///{database}", "CYCLES_JOURNAL_DIR": str(outbox.parent)}
    app = App(tmp_path, installed.environment | settings)
    assert app.cli("migrate").returncode == 0
    tenant = app.add_tenant()
    for _ in range(2):
        with app.serving() as serving:
            answer = HTTP.post(f"{serving.url}/api/chat", json=HELLO, headers=tenant["headers"], timeout=30)
            assert answer.status_code == 200
            files = [database, *(Path(f"{outbox}{suffix}") for suffix in ("", "-wal", "-shm"))]
            assert all(file.exists() for file in files)
            found = modes(tmp_path)
            assert found == {name: 0o700 if (tmp_path / name).is_dir() else 0o600 for name in found}
        for path in tmp_path.rglob("*"):
            if path.is_file() and path.suffix != ".migrate":  # empty; only `migrate` opens it
                path.chmod(0o644)


def test_folder_that_exists_keeps_its_mode_as_others_may_use_it_too(installed: App, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    app = App(tmp_path, installed.environment | {"DATABASE_URL": f"sqlite:///{shared / 'app.sqlite3'}"})
    assert app.cli("migrate").returncode == 0
    assert modes(tmp_path) == {"shared": 0o755, "shared/app.sqlite3": 0o600} | {
        name: 0o600 for name in modes(tmp_path) if name.endswith(("-wal", "-shm", ".migrate"))
    }
