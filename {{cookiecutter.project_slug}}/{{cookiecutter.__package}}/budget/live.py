"""What outlives a killed process: how many holds it had, how much they hold, and the commits it had on their way.

One file for each process, locked for as long as it lives: whoever can lock it takes over what a dead one has left.

- Page 0 is two numbers in mapped memory, so that counting a hold costs no system call. They are for a line in the log.
- Each further page is one commit that waits for its first answer, or is free: two writes for a commit where the SDK's
  journal makes, renames and deletes a file. Those are slow, on some file systems a fifth of what a call costs us.

A page is written before the commit is sent, by one write within a page, so that a kill leaves all of it or nothing. As
with the SDK's files the kernel has it then, not yet the disk. Where there are no POSIX locks (Windows) nothing is kept.
"""

import itertools
import mmap
import os
import struct
import sys
import threading
import time
import uuid
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from runcycles.journal import PendingCommitRecord

if sys.platform != "win32":
    import fcntl

PAGE = 4096
_FIGURES = struct.Struct("qq")


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit, and the name of the journal's folder that it belongs in."""

    folder: str
    entry: PendingCommitRecord


@dataclass(frozen=True, slots=True)
class Remains:
    """What a dead process has left in its file."""

    path: Path
    holds: int
    microcents: int
    commits: list[Commit]
    torn: bool
    """Something in it cannot be read."""

    def bury(self) -> None:
        """Call it when all is taken over: deletes the file, or sets it aside as `.corrupt`, where it is told of."""
        if self.torn:
            self.path.rename(self.path.with_suffix(".corrupt"))
        else:
            self.path.unlink()


class Live:
    """This process's file, below `journal_dir`. Made when it is first needed."""

    def __init__(self, journal_dir: Path) -> None:
        self._folder = journal_dir / "live"
        self._lock = threading.Lock()
        self._begin()
        _ours.add(self)

    def _begin(self) -> None:
        self._file: FileIO | None = None
        self._figures: mmap.mmap | None = None
        self._kept: dict[tuple[str, str], tuple[int, float, Commit]] = {}
        self._pages, self._free = itertools.count(1), list[int]()

    def change(self, holds: int, microcents: int) -> None:
        """Count holds that begin (or, below 0, end) and what they hold. Raises OSError if the file cannot be made."""
        if sys.platform == "win32":
            return
        with self._lock:
            figures = self._figures or self._opened()
            before = _FIGURES.unpack_from(figures)
            _FIGURES.pack_into(figures, 0, before[0] + holds, before[1] + microcents)

    def keep(self, commit: Commit) -> bool:
        """Keep a commit that is about to be sent. False: nothing is changed, for it is kept already or cannot be."""
        key, file = (commit.folder, commit.entry.reservation_id), self._file
        if file is None or key in self._kept:
            return False
        content = f"{commit.folder}\n{commit.entry.to_json()}\n".encode()
        if len(content) > PAGE:
            return False
        try:
            page = self._free.pop()
        except IndexError:
            page = next(self._pages)
        try:
            os.pwrite(file.fileno(), content, page * PAGE)
        except (OSError, ValueError):  # no room; or closed this moment, by another thread
            self._free.append(page)
            return False
        self._kept[key] = page, time.monotonic(), commit
        return True

    def drop(self, folder: str, reservation_id: str) -> bool:
        """Forget a commit, for it is settled or journalled elsewhere; whether it was kept."""
        kept, file = self._kept.pop((folder, reservation_id), None), self._file
        if kept is None or file is None:
            return False
        with suppress(OSError, ValueError):  # at worst it is settled twice, which is harmless
            os.pwrite(file.fileno(), b"\0", kept[0] * PAGE)
        self._free.append(kept[0])
        return True

    def kept_for(self, seconds: float) -> list[Commit]:
        """The commits of this process that are on their way for so long."""
        until = time.monotonic() - seconds
        return [commit for _, since, commit in list(self._kept.values()) if since <= until]

    def remains(self) -> Iterator[Remains]:
        """What dead processes have left; each is locked until the next one is asked for."""
        for path in self._folder.glob("*.live"):
            with suppress(OSError), path.open("rb") as file:  # its process lives, or another one was quicker
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.fstat(file.fileno()).st_nlink == 0:  # taken over and buried since it was opened
                    continue
                yield _read(path, file.read())

    def close(self) -> None:
        """Let go of the file: what it still has, somebody else takes over. It is made anew when it is needed again."""
        if self._file:
            self._file.close()
        self._begin()

    def _opened(self) -> mmap.mmap:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / str(uuid.uuid4())
        file = FileIO(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "r+")
        file.write(bytes(PAGE))  # not a hole: a full disk is told here, not by a signal when it is mapped
        fcntl.flock(file, fcntl.LOCK_EX)
        path.rename(path.with_suffix(".live"))  # seen by others only now that it is locked
        self._file, self._figures = file, mmap.mmap(file.fileno(), _FIGURES.size)
        return self._figures


def _read(path: Path, content: bytes) -> Remains:
    holds, microcents = _FIGURES.unpack_from(content.ljust(_FIGURES.size, b"\0"))
    commits, torn = [], False
    for start in range(PAGE, len(content), PAGE):
        if not content[start]:
            continue
        try:
            folder, entry, _ = content[start : start + PAGE].split(b"\n", 2)
            commits.append(Commit(folder.decode(), PendingCommitRecord.from_json(entry.decode())))
        except ValueError:
            torn = True
    return Remains(path, holds, microcents, commits, torn)


def _close_all() -> None:
    for live in _ours:
        live.close()


_ours: weakref.WeakSet[Live] = weakref.WeakSet()
if sys.platform != "win32":
    os.register_at_fork(after_in_child=_close_all)  # a child must not write into its parent's file
