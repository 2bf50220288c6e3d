"""`make demo` in a fresh clone: one command leads to a paid answer, and nothing is ever deleted."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values

from .conftest import CHOICES, ROOT, UV, Bake, copy_template, user_environment
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
        self.environment = user_environment() | {"PORT": str(self.port), "CYCLES_PORT": str(self.cycles_port)}
        self.clone = clone
        self.state_file = clone / f"var/demo/{framework}/acme-chat/var/dev.json"
        self.output = clone / "demo.log"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                ["make", "demo", f"FRAMEWORK={framework}", f"UV={UV}"],
                cwd=clone,
                env=self.environment,
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
def clone(tmp_path: Path) -> Path:
    folder = copy_template(tmp_path / "clone")
    for name in ("Makefile", "demo.py", "pyproject.toml", "uv.lock"):
        shutil.copy(ROOT / name, folder)
    return folder


def generate_demo(clone: Path, framework: str = "fastapi", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the first line of `make demo`, which generates the project."""
    return subprocess.run(
        [sys.executable, "demo.py", framework],
        cwd=clone,
        env=user_environment() | {"PORT": str(free_port()), "CYCLES_PORT": str(free_port())} | environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["PORT", "CYCLES_PORT"])
def test_a_port_in_use_is_reported_before_anything_is_written(clone: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        done = generate_demo(clone, **{name: port})
    assert done.returncode == 1
    assert done.stderr == f"make demo: port {port} is in use. Is a demo already running? Stop it, or set {name}.\n"
    assert not (clone / "var").exists()


@pytest.mark.parametrize("port", ["web", "0", "65536", ""])
def test_what_is_not_a_port_is_reported_before_anything_is_written(clone: Path, port: str) -> None:
    done = generate_demo(clone, PORT=port)
    assert (done.returncode, done.stderr) == (1, f"make demo: PORT={port} is not a port number.\n")
    assert not (clone / "var").exists()


def test_an_existing_demo_is_reused_and_none_of_its_files_change(clone: Path) -> None:
    assert generate_demo(clone).returncode == 0
    project = clone / "var/demo/fastapi/acme-chat"
    (project / "mine.txt").write_text("mine")
    (project / "README.md").write_text("edited")
    (project / "dev.py").unlink()
    before = contents(project)
    same = generate_demo(clone)
    assert (same.returncode, same.stdout, same.stderr) == (0, "", "")

    with (clone / "{{cookiecutter.project_slug}}/README.md").open("a", encoding="utf-8") as readme:
        readme.write("A newer version.\n")
    newer = generate_demo(clone)
    assert (newer.returncode, newer.stderr) == (0, "")
    assert newer.stdout == (
        "Reusing var/demo/fastapi/acme-chat, generated by another version of the template. "
        "Move it away to get a new one.\n"
    )
    assert contents(project) == before


def test_an_interrupted_demo_is_not_reused_and_says_what_to_do(clone: Path) -> None:
    project = clone / "var/demo/fastapi/acme-chat"
    project.mkdir(parents=True)
    (project / "UNFINISHED.txt").write_text("")
    done = generate_demo(clone)
    assert done.returncode == 1
    assert done.stderr == (
        "make demo: var/demo/fastapi/acme-chat is incomplete: generation was interrupted. Delete it, then try again.\n"
    )
    assert contents(clone / "var") == {project / "UNFINISHED.txt": b""}


def test_a_demo_interrupted_before_its_first_file_is_generated(clone: Path) -> None:
    project = clone / "var/demo/fastapi/acme-chat"
    project.mkdir(parents=True)
    assert generate_demo(clone).returncode == 0
    assert (project / "dev.py").exists()


def test_the_demos_of_both_frameworks_live_side_by_side(clone: Path) -> None:
    mine = clone / "var/demo/mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    for framework in CHOICES["framework"]:
        assert generate_demo(clone, framework).returncode == 0
    assert mine.read_text() == "mine"
    assert (clone / "var/demo/django/acme-chat/manage.py").exists()
    assert not (clone / "var/demo/fastapi/acme-chat/manage.py").exists()


def charged(state: dict[str, Any]) -> dict[str, int]:
    """What each tenant's ledger has charged, in microcents, by the last part of its scope."""
    url = f"{state['cycles_url']}/v1/admin/budgets?unit=USD_MICROCENTS&limit=100"
    request = urllib.request.Request(url, headers={"X-Admin-API-Key": state["cycles_admin_api_key"]})
    with urllib.request.urlopen(request, timeout=30) as answer:
        rows = [row for row in json.load(answer)["ledgers"] if "/app:" not in row["scope"]]
    return {row["scope"].rpartition(":")[2]: row["spent"]["amount"] + row["debt"]["amount"] for row in rows}


def recorded(project: Path) -> dict[str, int]:
    """What each tenant's calls have cost, in microcents, since its budget was last reset."""
    query = """
        SELECT id, (SELECT coalesce(sum(cost), 0) FROM calls WHERE tenant = tenants.id AND at >= coalesce(
            (SELECT max(created_at) FROM adjustments WHERE tenant_id = tenants.id AND reference LIKE 'reset:%'), ''))
        FROM tenants
    """
    with closing(sqlite3.connect(project / "var/dev/app.sqlite3")) as database:
        return dict(database.execute(query).fetchall())


@pytest.fixture
def demo(clone: Path, framework: str) -> Iterator[Demo]:
    running = Demo(clone, framework)
    yield running
    running.kill()


@pytest.mark.parametrize(("framework", "end"), [*zip(CHOICES["framework"], cycle(ENDS), strict=False)])
def test_one_command_leads_to_a_paid_answer_and_ends_without_a_trace(demo: Demo, end: str) -> None:
    state = demo.wait_until_ready()
    project = demo.state_file.parent.parent
    private = {".env": 0o600, "var": 0o700, "var/dev": 0o700, "var/dev.json": 0o600}
    assert {name: (project / name).stat().st_mode & 0o777 for name in private} == private
    assert recorded(project) == charged(state)
    assert Counter(bool(cost) for cost in recorded(project).values()) == {True: 8, False: 2}

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


@pytest.fixture
def workspace_demo(clone: Path, bake: Bake) -> Iterator[Demo]:
    """A demo whose existing project has tenancy=workspace, where dev.py creates a Cycles key."""
    shutil.copytree(bake(tenancy="workspace").path, clone / "var/demo/fastapi/acme-chat")
    running = Demo(clone, "fastapi")
    yield running
    running.kill()


def test_a_second_start_or_a_reset_leaves_the_first_alone_and_a_later_start_may_be_elsewhere(
    workspace_demo: Demo,
) -> None:
    demo = workspace_demo
    state = demo.wait_until_ready()
    project = demo.state_file.parent.parent
    month = recorded(project)
    assert month == charged(state)
    settings = dotenv_values(project / ".env")
    python = str(next(project.glob(".venv/*/python")))

    def dev(port: int, cycles_port: int) -> subprocess.Popen[str]:
        ports = {"PORT": str(port), "CYCLES_PORT": str(cycles_port)}
        environment = user_environment() | ports | {"DEMO": "1"}
        return subprocess.Popen([python, "dev.py"], cwd=project, env=environment, stderr=subprocess.PIPE, text=True)

    for framework in CHOICES["framework"]:
        again = ["make", "demo", f"FRAMEWORK={framework}", f"UV={UV}"]
        done = subprocess.run(
            again, cwd=demo.clone, env=demo.environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode != 0
        assert f"port {demo.port} is in use. Is a demo already running?" in done.stderr
    assert not (demo.clone / "var/demo/django").exists()
    _, said = dev(demo.port, demo.cycles_port).communicate(timeout=60)
    assert "it runs in this folder already" in said
    reset = subprocess.run([python, "dev.py", "--reset"], cwd=project, env=user_environment(), check=False)
    assert reset.returncode == 1
    assert (project / "var/dev/app.sqlite3").exists()
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
            assert recorded(project) == month | {"later": 0}
            assert charged(json.loads(demo.state_file.read_text())) == month | {"later": 0}
        finally:
            elsewhere.send_signal(signal.SIGHUP)  # a closed terminal
    wait_until(lambda: is_free(port) and is_free(cycles_port), "the end of the second", seconds=20)
    subprocess.run([python, "dev.py", "--reset"], cwd=project, env=user_environment(), check=True)
    assert not (project / "var/dev").exists()
    for wrong in (0, 65_536, cycles_port):
        _, said = dev(wrong, cycles_port).communicate(timeout=60)
        assert f"port {wrong} is in use or invalid" in said
