"""A small SQLite file that the processes of a machine share: private, set aside if damaged, fast to write."""

import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from .logging import log

ERRORS = (OSError, sqlite3.Error)
"""What using a file may raise."""
CHECKPOINT_BYTES = 4 * 2**20


def make_private(path: Path) -> None:
    """Create an SQLite file that only its owner can use, and its folders likewise. Tighten a file that exists.

    Folders that exist keep their mode: others may use them too. Opening the file reports what can't be done.
    """
    with suppress(OSError):
        for folder in reversed(path.parents):
            folder.mkdir(0o700, exist_ok=True)
        path.touch(0o600)
        for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            if file.is_file():
                file.chmod(0o600)


class SqliteFile:
    """Opened on first use, with mode 0600 in a 0700 folder. `schema` creates missing tables.

    A file that is damaged or no database is renamed to `NAME.<ns>.corrupt`, and a new one created.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        self._schema = schema
        self._opened: sqlite3.Connection | None = None
        self._is_writable = False

    def connect(self) -> sqlite3.Connection:
        """Return the open file. Raise one of ERRORS."""
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def check(self) -> None:
        """Raise one of ERRORS unless the file can be written. Try it only once, and after a failure."""
        if not self._is_writable:
            self.connect().execute("PRAGMA user_version = 1")
            self._is_writable = True

    def run(self, statement: str, *values: object, **named: object) -> list[Any]:
        """Execute a statement and return its rows. Log an error and return none if the file can't be used."""
        try:
            return self.connect().execute(statement, values or named).fetchall()
        except ERRORS as error:
            log.exception("file not usable", file=str(self.path))
            self._is_writable = False
            if not isinstance(error, (OSError, sqlite3.OperationalError)):  # damaged: the next use sets it aside
                self.close()
            return []

    def checkpoint(self) -> None:
        """Move a large write-ahead log into the file. This waits for the disk: call it in a thread."""
        log_file = Path(f"{self.path}-wal")
        try:
            size = log_file.stat().st_size if log_file.exists() else 0
            if size > CHECKPOINT_BYTES:
                with closing(sqlite3.connect(self.path)) as database:
                    database.execute("PRAGMA wal_checkpoint(PASSIVE)")
                    if size > 8 * CHECKPOINT_BYTES:  # writers never paused: make them wait for the small rest
                        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except ERRORS:
            log.exception("write-ahead log not moved into the file", file=str(self.path))

    def damaged(self) -> list[Path]:
        """Return the files that were set aside."""
        return [*self.path.parent.glob(f"{self.path.name}.*.corrupt")]

    def close(self) -> None:
        """Close the file. It is opened again when needed."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None

    def _open(self) -> sqlite3.Connection:
        """Open the file, one process at a time: two would set it aside twice, or find it locked."""
        lock = self.path.with_suffix(".lock")
        make_private(lock)
        with closing(sqlite3.connect(lock, timeout=10, isolation_level=None)) as turn:
            turn.execute("BEGIN EXCLUSIVE")
            try:
                return self._open_in_turn()
            except sqlite3.OperationalError:  # locked, or no room
                raise
            except sqlite3.DatabaseError:
                log.exception("file not readable: set aside", file=str(self.path))
            now = time.time_ns()
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    Path(f"{self.path}{suffix}").rename(f"{self.path}{suffix}.{now}.corrupt")
            return self._open_in_turn()

    def _open_in_turn(self) -> sqlite3.Connection:
        make_private(self.path)
        database = sqlite3.connect(self.path, timeout=2, isolation_level=None, check_same_thread=False)
        try:
            if database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("damaged")
            settings = "PRAGMA page_size = 2048; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"
            # automatic checkpoints wait for the disk: see `checkpoint`
            settings += "; PRAGMA wal_autocheckpoint = 0"
            database.executescript(f"{settings}; {self._schema}")
        except sqlite3.Error:
            database.close()
            raise
        return database
