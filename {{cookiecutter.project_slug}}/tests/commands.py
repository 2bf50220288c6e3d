"""`python -m ...` as a fork of a process that has imported the libraries: a start takes 0.1 s instead of 1 s."""

import atexit
import gc
import multiprocessing
import os
import runpy
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from .libraries import LIBRARIES

SHARED = ["aiohttp", "cryptography.fernet", "httpx", "jinja2", "pydantic_settings", "pytest", "runcycles", "structlog"]
FORK = "forkserver" in multiprocessing.get_all_start_methods()  # not on Windows: each process is a full start there
PROCESSES = multiprocessing.get_context("forkserver") if FORK else multiprocessing.get_context("spawn")
if FORK:
    PROCESSES.set_forkserver_preload([*LIBRARIES, *SHARED])


class Running:
    """`python -m module ...` in `folder` with this environment only; `streams` maps file descriptors to files.

    The part of subprocess.Popen that the tests need.
    """

    def __init__(
        self, module: str, arguments: list[str], folder: Path, environment: dict[str, str], streams: dict[int, Path]
    ) -> None:
        self._process = PROCESSES.Process(target=_run, args=(module, arguments, folder, environment, streams))
        self._process.start()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, minus the signal that ended the process, or None while it runs."""
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int:
        self._process.join(seconds)
        if (code := self.poll()) is None:
            raise TimeoutError(f"still running after {seconds} s")
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None and self._process.pid:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()


def run_module(
    module: str, arguments: list[str], folder: Path, environment: dict[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run it to its end and return what it printed."""
    with TemporaryDirectory() as name:
        streams = {number: Path(name) / str(number) for number in range(3)}
        streams[0].write_text(stdin, encoding="utf-8")
        code = Running(module, arguments, folder, environment, streams).wait()
        output, errors = (streams[number].read_text(encoding="utf-8") for number in (1, 2))
    return subprocess.CompletedProcess(arguments, code, output, errors)


def _run(
    module: str, arguments: list[str], folder: Path, environment: dict[str, str], streams: dict[int, Path]
) -> None:
    gc.freeze()  # else the first collection copies the memory shared with the server
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, path in streams.items():
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:  # multiprocessing ends a fork without these
        atexit._run_exitfuncs()  # noqa: SLF001
