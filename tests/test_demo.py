"""`make demo`, as somebody does who has just cloned the template: one command, a paid answer, nothing left behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values

from .conftest import CHOICES, ROOT, UV, copy_template, user_environment
from .laboratory.processes import free_port

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the Makefile is for POSIX")


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 120, every_s: float = 0.1) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(every_s)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def post(url: str, body: dict[str, Any], headers: dict[str, str]) -> tuple[int, Any]:
    data, sent = json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, data, sent)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


class Demo:
    """A running `make demo` in a fresh clone."""

    def __init__(self, clone: Path, framework: str) -> None:
        self.port, self.cycles_port = free_port(), free_port()
        self.state_file = clone / "var/demo/acme-chat/var/dev.json"
        self.output = clone / "demo.log"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                ["make", "demo", f"FRAMEWORK={framework}", f"UV={UV}"],
                cwd=clone,
                env=user_environment() | {"PORT": str(self.port), "CYCLES_PORT": str(self.cycles_port)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self) -> dict[str, Any]:
        """The content of var/dev.json, once the app is ready."""
        wait_until(lambda: self.state_file.exists() or self.process.poll() is not None, "the demo's var/dev.json")
        assert self.process.poll() is None, self.output.read_text()
        state: dict[str, Any] = json.loads(self.state_file.read_text())
        return state

    def is_gone(self) -> bool:
        return self.process.poll() is not None and is_free(self.port) and is_free(self.cycles_port)

    def kill(self) -> None:
        """What a failed test has left, by its own process group."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait()


ENDS = ["Ctrl-C", "SIGTERM to make"]


@pytest.fixture
def demo(tmp_path: Path, framework: str) -> Iterator[Demo]:
    clone = copy_template(tmp_path / "clone")
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, clone)
    running = Demo(clone, framework)
    yield running
    running.kill()


@pytest.mark.parametrize(("framework", "end"), [*zip(CHOICES["framework"], cycle(ENDS), strict=False)])
def test_one_command_leads_to_a_paid_answer_and_ends_without_a_trace(demo: Demo, end: str) -> None:
    state = demo.wait_until_ready()
    prompt = {"prompt": "Hello!"}
    status, answer = post(f"{state['app_url']}/api/chat", prompt, state["tenants"]["acme"]["headers"])
    assert status == 200, answer
    assert answer["cost"]["amount"] > 0

    for _ in range(100):
        status, answer = post(f"{state['app_url']}/api/chat", prompt, state["tenants"]["globex"]["headers"])
        if status != 200:
            break
    assert (status, answer["code"]) == (402, "budget_exceeded")

    if end == "Ctrl-C":
        os.killpg(demo.process.pid, signal.SIGINT)
    else:
        demo.process.terminate()
    wait_until(demo.is_gone, "the end of app and emulator", seconds=20)


@pytest.mark.parametrize("framework", ["fastapi tenancy=workspace"])  # which has a key at Cycles that dev.py makes
def test_a_second_start_leaves_the_first_alone_and_a_later_one_may_be_elsewhere(demo: Demo) -> None:
    state = demo.wait_until_ready()
    project = demo.state_file.parent.parent
    settings = dotenv_values(project / ".env")
    python = str(next(project.glob(".venv/*/python")))

    def dev(port: int, cycles_port: int) -> subprocess.Popen[str]:
        ports = {"PORT": str(port), "CYCLES_PORT": str(cycles_port)}
        environment = user_environment() | ports
        return subprocess.Popen([python, "dev.py"], cwd=project, env=environment, stderr=subprocess.PIPE, text=True)

    _, said = dev(demo.port, demo.cycles_port).communicate(timeout=60)
    assert f"port {demo.port} is taken" in said
    assert json.loads(demo.state_file.read_text()) == state

    demo.process.terminate()
    wait_until(demo.is_gone, "the end of the first", seconds=20)
    port, cycles_port = free_port(), free_port()
    with dev(port, cycles_port) as elsewhere:
        try:
            wait_until(lambda: not is_free(port) and demo.state_file.exists(), "the second to be ready")
            adds = [python, "-m", "acme_chat", "tenants", "add", "later", "--name", "Later", "--budget", "1.00"]
            subprocess.run(adds, cwd=project, env=user_environment(), check=True)
            there = f"http://127.0.0.1:{cycles_port}"
            moved = {"PORT": str(port), "CYCLES_BASE_URL": there, "CYCLES_ADMIN_URL": there}
            assert dotenv_values(project / ".env") == settings | moved
        finally:
            elsewhere.terminate()
    wait_until(lambda: is_free(port) and is_free(cycles_port), "the end of the second", seconds=20)
