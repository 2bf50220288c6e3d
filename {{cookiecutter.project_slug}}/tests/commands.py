"""`python -m ...` without the cost of a start: a server that has the libraries forks a process for each."""

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
FORK = "forkserver" in multiprocessing.get_all_start_methods()  # not on Windows: there each is a start
PROCESSES = multiprocessing.get_context("forkserver") if FORK else multiprocessing.get_context("spawn")
if FORK:
    PROCESSES.set_forkserver_preload([*LIBRARIES, *SHARED])


class Running:
    """`python -m module ...` in `folder`, with this environment and no other, each stream to its file.

    As much of a subprocess.Popen as the tests need.
    """

    def __init__(
        self, module: str, arguments: list[str], folder: Path, environment: dict[str, str], streams: dict[int, Path]
    ) -> None:
        self._process = PROCESSES.Process(target=_run, args=(module, arguments, folder, environment, streams))
        self._process.start()

    def poll(self) -> int | None:
        """The exit code, the negative number of the signal that has ended it, or nothing while it runs."""
        return self._process.exitcode

    def wait(self, seconds: float | None = None) -> int:
        self._process.join(seconds)
        if (code := self.poll()) is None:
            raise TimeoutError(f"not ended within {seconds} s")
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None and self._process.pid:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()


def run_module(
    module: str, arguments: list[str], folder: Path, environment: dict[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Start it, wait for its end, return what it said."""
    with TemporaryDirectory() as name:
        streams = [Path(name, stream) for stream in ("stdin", "stdout", "stderr")]
        streams[0].write_text(stdin, encoding="utf-8")
        code = Running(module, arguments, folder, environment, dict(enumerate(streams))).wait()
        output, errors = (path.read_text(encoding="utf-8") for path in streams[1:])
        return subprocess.CompletedProcess(arguments, code, output, errors)


def _run(
    module: str, arguments: list[str], folder: Path, environment: dict[str, str], streams: dict[int, Path]
) -> None:
    gc.freeze()  # else the first collection would copy what is shared with the server
    for number, path in streams.items():
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:  # at the end of a forked process Python leaves this out
        atexit._run_exitfuncs()  # noqa: SLF001
