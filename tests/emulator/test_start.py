"""How the emulator starts, refuses to start, and ends."""

import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from .server import App, Server, environment


def run(folder: Path, cwd: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`python -m emulator` to its end, with the emulator of `folder`, in `cwd`."""
    command = [sys.executable, "-m", "emulator", "--data", str(cwd / "state.sqlite3"), *arguments]
    settings = environment(PYTHONPATH=str(folder), **more)
    return subprocess.run(command, cwd=cwd, env=settings, capture_output=True, text=True, timeout=20, check=False)


def refused(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line that it said before it ended with 1."""
    assert ended.returncode == 1
    assert ended.stdout == ""
    [line] = ended.stderr.splitlines()
    return line


def test_it_does_not_start_in_production(emulator_dir: Path, tmp_path: Path) -> None:
    assert "APP_ENV=production" in refused(run(emulator_dir, tmp_path, "--port", "0", APP_ENV="production"))


def test_it_does_not_start_where_the_env_file_says_production(emulator_dir: Path, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("APP_ENV=production\n")
    assert "APP_ENV=production" in refused(run(emulator_dir, tmp_path, "--port", "0"))


def test_a_port_that_is_none_is_one_line_and_exit_1(emulator_dir: Path, tmp_path: Path) -> None:
    assert "99999" in refused(run(emulator_dir, tmp_path, "--port", "99999"))


def test_a_taken_port_is_one_line_and_exit_1(emulator_dir: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = refused(run(emulator_dir, tmp_path, "--port", port))
        assert port in line
        assert port in refused(run(emulator_dir, tmp_path, CYCLES_PORT=port))


def test_an_unusable_data_file_is_one_line_and_exit_1(emulator_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "state.sqlite3").write_text("this is no database, and long enough for sqlite to see it" * 20)
    assert "state.sqlite3" in refused(run(emulator_dir, tmp_path, "--port", "0"))


def test_the_admin_key_comes_from_the_env_file_but_the_environment_wins(emulator_dir: Path, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("CYCLES_ADMIN_API_KEY=from-file\n")
    for more, key in (({}, "from-file"), ({"CYCLES_ADMIN_API_KEY": "from-env"}, "from-env")):
        command = [sys.executable, "-m", "emulator", "--port", "0", "--data", str(tmp_path / "state.sqlite3")]
        settings = environment(PYTHONPATH=str(emulator_dir), **more)
        with subprocess.Popen(command, cwd=tmp_path, env=settings, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = re.search(r"http://\S+", process.stdout.readline())
            assert url
            body = {"tenant_id": "acme", "name": "Acme"}
            answer = httpx.post(f"{url[0]}/v1/admin/tenants", json=body, headers={"X-Admin-API-Key": key})
            process.terminate()
        assert answer.status_code in {200, 201}


def test_without_an_admin_key_it_makes_a_random_one_and_prints_it(emulator_dir: Path, tmp_path: Path) -> None:
    keys = []
    for _ in range(2):
        command = [sys.executable, "-m", "emulator", "--port", "0", "--data", str(tmp_path / "state.sqlite3")]
        settings = environment(PYTHONPATH=str(emulator_dir), CYCLES_ADMIN_API_KEY="")
        with subprocess.Popen(command, cwd=tmp_path, env=settings, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = re.search(r"http://\S+", process.stdout.readline())
            name, _, key = process.stdout.readline().strip().partition("=")
            assert url
            answers = [
                httpx.get(f"{url[0]}/v1/admin/budgets", headers={"X-Admin-API-Key": each})
                for each in (key, "dev-admin-key", "")
            ]
            process.terminate()
        assert (name, [answer.status_code for answer in answers]) == ("CYCLES_ADMIN_API_KEY", [200, 401, 401])
        keys.append(key)
    assert len(keys[0]) >= 32
    assert keys[0] != keys[1]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_its_state_is_for_its_owner_alone(emulator_dir: Path, tmp_path: Path) -> None:
    server = Server(emulator_dir, tmp_path / "var" / "dev" / "state.sqlite3")
    App(server)
    files = [*(tmp_path / "var").rglob("*")]
    assert len(files) == 4
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    server.stop()


def test_it_listens_on_loopback_only(server: Server) -> None:
    assert server.url.startswith("http://127.0.0.1:")


def test_every_answer_says_that_it_is_the_emulator(server: Server, app: App) -> None:
    answers = [app.reserve(1), app.get("nope"), server.http.get("/actuator/health/readiness"), server.http.get("/")]
    assert all(answer.headers["X-Cycles-Emulator"] for answer in answers)


def test_the_health_probes_are_public(server: Server) -> None:
    for probe in ("readiness", "liveness"):
        assert server.http.get(f"/actuator/health/{probe}").json() == {"status": "UP"}


def test_a_trace_of_the_caller_is_kept_and_a_malformed_one_is_not(server: Server, app: App) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    for headers, kept in (
        ({"traceparent": f"00-{trace}-b7ad6b7169203331-01"}, True),
        ({"X-Cycles-Trace-Id": trace}, True),
        ({"traceparent": f"01-{trace}-b7ad6b7169203331-01"}, False),
        ({"X-Cycles-Trace-Id": "0" * 32}, False),
    ):
        answer = server.http.get("/v1/balances", headers=headers | app.headers)
        assert (answer.headers["X-Cycles-Trace-Id"] == trace) is kept
        assert answer.json()["trace_id"] == answer.headers["X-Cycles-Trace-Id"]


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_its_state_outlives_it_until_a_reset(emulator_dir: Path, tmp_path: Path, ending: str) -> None:
    server = Server(emulator_dir, tmp_path / "state.sqlite3")
    app = App(server)
    app.event(10)
    server.advance(1_000_000)
    getattr(server, ending)()
    server = Server(emulator_dir, tmp_path / "state.sqlite3")
    app.http = server.http
    assert app.balance()["spent"] == 10
    assert server.control("GET", "snapshot")["now_ms"] > time.time() * 1000 + 900_000
    server.control("POST", "reset")
    assert app.get("balances", tenant=app.tenant).json()["message"] == "KEY_NOT_FOUND"
    assert server.control("GET", "snapshot")["ledgers"] == []
    server.stop()
