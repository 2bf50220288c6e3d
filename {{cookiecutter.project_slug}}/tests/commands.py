"""The app's commands without the cost of a start: a server that has its libraries forks a process for each."""

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


def run_module(
    module: str, arguments: list[str], folder: Path, environment: dict[str, str], stdin: str
) -> subprocess.CompletedProcess[str]:
    """As `python -m module ...` in `folder`, with this environment and no other."""
    with TemporaryDirectory() as name:
        streams = [Path(name, stream) for stream in ("stdin", "stdout", "stderr")]
        streams[0].write_text(stdin, encoding="utf-8")
        process = PROCESSES.Process(target=_run, args=(module, arguments, folder, environment, streams))
        process.start()
        process.join()
        output, errors = (path.read_text(encoding="utf-8") for path in streams[1:])
        return subprocess.CompletedProcess(arguments, process.exitcode or 0, output, errors)


def _run(module: str, arguments: list[str], folder: Path, environment: dict[str, str], streams: list[Path]) -> None:
    for number, path in enumerate(streams):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
