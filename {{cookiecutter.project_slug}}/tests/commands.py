"""`python -m ...` without the cost of a start: a server that has the libraries forks a process for each."""

import atexit
import gc
import multiprocessing
import os
import runpy
import subprocess
import sys
import traceback
from collections import OrderedDict
from contextlib import suppress
from multiprocessing.connection import Connection
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

    @property
    def pid(self) -> int | None:
        return self._process.pid

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
        streams = _streams(Path(name), stdin)
        code = Running(module, arguments, folder, environment, streams).wait()
        return _completed(arguments, code, streams)


def run_again(
    module: str, arguments: list[str], folder: Path, environment: dict[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """As `run_module`, forked from a process that has run it once with this environment: all is imported."""
    if not FORK:
        return run_module(module, arguments, folder, environment, stdin)
    key = (module, folder, frozenset(environment.items()))
    shell = SHELLS.pop(key, None) or _Shell(module, folder, environment)  # nobody else's while it works
    with TemporaryDirectory() as name:
        streams = _streams(Path(name), stdin)
        done = _completed(arguments, shell.run(arguments, streams), streams)
    SHELLS.setdefault(key, shell)
    if SHELLS[key] is not shell:
        shell.close()
    elif len(SHELLS) > MOST_SHELLS:
        SHELLS.popitem(last=False)[1].close()
    return done


class _Shell:
    """A process that runs its first command itself, and forks for each that comes after."""

    def __init__(self, module: str, folder: Path, environment: dict[str, str]) -> None:
        self._commands, theirs = PROCESSES.Pipe()
        self._process = PROCESSES.Process(target=_run_commands, args=(theirs, module, folder, environment), daemon=True)
        self._process.start()
        theirs.close()

    def run(self, arguments: list[str], streams: dict[int, Path]) -> int:
        self._commands.send((arguments, streams))
        code: int = self._commands.recv()
        return code

    def close(self) -> None:
        self._commands.close()
        self._process.join()


SHELLS: OrderedDict[object, _Shell] = OrderedDict()
MOST_SHELLS = 3


def _streams(folder: Path, stdin: str) -> dict[int, Path]:
    streams = [folder / stream for stream in ("stdin", "stdout", "stderr")]
    streams[0].write_text(stdin, encoding="utf-8")
    return dict(enumerate(streams))


def _completed(arguments: list[str], code: int, streams: dict[int, Path]) -> subprocess.CompletedProcess[str]:
    output, errors = (streams[number].read_text(encoding="utf-8") for number in (1, 2))
    return subprocess.CompletedProcess(arguments, code, output, errors)


def _run(
    module: str, arguments: list[str], folder: Path, environment: dict[str, str], streams: dict[int, Path]
) -> None:
    _enter(folder, environment)
    _execute(module, arguments, streams)


def _run_commands(commands: Connection, module: str, folder: Path, environment: dict[str, str]) -> None:
    _enter(folder, environment)
    with suppress(EOFError):
        commands.send(_in_this_process(module, *commands.recv()))
        gc.freeze()
        while True:
            commands.send(_in_a_fork(module, *commands.recv()))


def _in_a_fork(module: str, arguments: list[str], streams: dict[int, Path]) -> int:
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os._exit(_in_this_process(module, arguments, streams))


def _in_this_process(module: str, arguments: list[str], streams: dict[int, Path]) -> int:
    """The exit code, as Python itself would have it; what it says on stderr too."""
    code: int | str | None = 0
    try:
        _execute(module, arguments, streams)
    except SystemExit as end:
        code = end.code
    except BaseException:  # noqa: BLE001  (as any process ends)
        code = traceback.format_exc()
    if isinstance(code, str):
        print(code, file=sys.stderr)  # noqa: T201
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code or 0


def _enter(folder: Path, environment: dict[str, str]) -> None:
    gc.freeze()  # else the first collection would copy what is shared with the server
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)


def _execute(module: str, arguments: list[str], streams: dict[int, Path]) -> None:
    for number, path in streams.items():
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:  # at the end of a forked process Python leaves this out
        atexit._run_exitfuncs()  # noqa: SLF001
