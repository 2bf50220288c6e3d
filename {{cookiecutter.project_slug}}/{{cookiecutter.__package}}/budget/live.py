"""How many holds live, and how much they hold, where it outlives the process: a killed one cannot tell any more.

Two numbers in mapped memory for each process. Changing them costs no system call (a journal record for each hold
would cost 195 us), and the kernel keeps them when the process is killed. A machine that dies loses them: they are for
a line in the log, never for money. Where there are no POSIX locks (Windows) nothing is kept.
"""

import mmap
import struct
import sys
import threading
import uuid
from pathlib import Path

if sys.platform != "win32":
    import fcntl

_FIGURES = struct.Struct("qq")


class LiveHolds:
    """This process's figures, in a file below `journal_dir` that is locked for as long as the process lives."""

    def __init__(self, journal_dir: Path) -> None:
        self._folder = journal_dir / "live"
        self._lock = threading.Lock()
        self._map: mmap.mmap | None = None

    def change(self, holds: int, microcents: int) -> None:
        """Count holds that begin (or, below 0, end) and what they hold. Raises OSError if the file cannot be made."""
        if sys.platform == "win32":
            return
        with self._lock:
            if self._map is None:
                self._map = self._opened()
            before = _FIGURES.unpack_from(self._map)
            _FIGURES.pack_into(self._map, 0, before[0] + holds, before[1] + microcents)

    def left_behind(self) -> tuple[int, int]:
        """Holds of processes that are no more, and the microcents they held. Their files are deleted."""
        found = [self._taken(path) for path in self._folder.glob("*.live")]
        return sum(holds for holds, _ in found), sum(microcents for _, microcents in found)

    def _opened(self) -> mmap.mmap:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / str(uuid.uuid4())
        with path.open("xb+") as file:
            file.truncate(_FIGURES.size)
            fcntl.flock(file, fcntl.LOCK_EX)  # for as long as it is mapped
            path.rename(path.with_suffix(".live"))  # seen by others only now that it is locked
            return mmap.mmap(file.fileno(), _FIGURES.size)

    def _taken(self, path: Path) -> tuple[int, int]:
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                holds, microcents = _FIGURES.unpack(file.read())
        except (OSError, struct.error):  # its process lives, another one was quicker, or it was cut short
            return 0, 0
        return holds, microcents
