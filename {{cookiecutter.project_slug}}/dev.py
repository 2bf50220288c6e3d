"""Run the app with reload, the Cycles emulator and two demo tenants. Ctrl-C or SIGTERM stops everything.

With DEMO=1 in the environment, add a month of history (dev_month.py).
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from filelock import FileLock, Timeout

import dev_identity
import dev_tenancy
from {{ cookiecutter.__package }}.budget.prices import Prices
from {{ cookiecutter.__package }}.core.config import Settings
from {{ cookiecutter.__package }}.core.money import format_usd
from {{ cookiecutter.__package }}.llm.provider import Message, Request

DATA = Path("var/dev")
STATE_FILE = Path("var/dev.json")
LOCK = Path("var/dev.lock")
CLI = [sys.executable, "-m", "{{ cookiecutter.__package }}"]
PORTS = {"PORT": os.environ.get("PORT", "8000"), "CYCLES_PORT": os.environ.get("CYCLES_PORT", "7878")}
APP_URL, CYCLES_URL = (f"http://127.0.0.1:{port}" for port in PORTS.values())
START_S = 60
STOP_S = 15
STOPS = [signal.SIGINT, signal.SIGTERM]
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
    STOPS.append(signal.SIGHUP)  # the terminal was closed; `nohup` ignores that

SECRETS = ("SECRET_KEY", "CYCLES_ADMIN_API_KEY", "METRICS_TOKEN")
PLACES = {"DATABASE_URL": "sqlite:///var/dev/app.sqlite3", "CYCLES_JOURNAL_DIR": "var/dev/cycles-journal"}
ADDRESSES = {"PORT": PORTS["PORT"], "CYCLES_BASE_URL": CYCLES_URL, "CYCLES_ADMIN_URL": CYCLES_URL}
MARK = "  # written by dev.py"


class Failure(Exception):
    """Stop with this message for the person who started dev.py."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reset", action="store_true", help="delete all data of `make dev`, then exit")
    os.chdir(Path(__file__).parent)
    is_reset = parser.parse_args().reset
    DATA.parent.mkdir(0o700, exist_ok=True)
    try:
        with FileLock(LOCK, timeout=0):
            return reset() if is_reset else supervise()
    except Timeout:
        print("make dev: it runs in this folder already. Stop it first", file=sys.stderr)
        return 1


def reset() -> int:
    shutil.rmtree(DATA, ignore_errors=True)
    STATE_FILE.unlink(missing_ok=True)
    return 0


def supervise() -> int:
    """Run until a process stops or somebody stops this one, then stop all processes. Return the exit code."""
    for sign in STOPS:
        signal.signal(sign, interrupt)
    running: list[subprocess.Popen[bytes]] = []
    try:
        run(running)
    except Failure as failure:
        print(f"make dev: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopping ...", file=sys.stderr)
    finally:
        ignore_stops()
        for process in reversed(running):  # the app first: it settles with the emulator
            stop(process)
    return 0


def interrupt(*_: object) -> None:
    """Raise KeyboardInterrupt, once: `uv run` passes on signals that this process has had already."""
    ignore_stops()
    raise KeyboardInterrupt


def ignore_stops() -> None:
    for sign in STOPS:
        signal.signal(sign, signal.SIG_IGN)


def run(running: list[subprocess.Popen[bytes]]) -> None:
    """Start everything, print the addresses, and wait until a process ends. Append each process to `running`."""
    check_ports()
    os.umask(0o077)
    for folder in (DATA.parent, DATA):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
    write_env_file()
    os.environ.update(PLACES | ADDRESSES)
    state = read_state()
    STATE_FILE.unlink(missing_ok=True)
    tell("Starting the emulator and applying migrations")
    running.append(start([sys.executable, "-m", "emulator"]))
    command("migrate")
    wait_for(f"{CYCLES_URL}/actuator/health/readiness", running)
    os.environ.update(keep(ADDRESSES | dev_tenancy.account(environment())))
    tell("Adding the demo tenants and the operator")
    state = seed(state)
    if os.environ.get("DEMO", "0") != "0":
        tell("Adding a month of history")
        command(program=[sys.executable, "dev_month.py"])
    tell("Starting the app")
    running.append(start([*CLI, "serve", "--reload"]))
    wait_for(f"{APP_URL}/readyz", running)
    write_private(STATE_FILE, json.dumps(state, indent=2) + "\n")
    print_summary(state)
    while all(process.poll() is None for process in running):
        time.sleep(0.5)
    raise Failure("a process stopped; see its output above")


def tell(step: str) -> None:
    print(f"{step} ...", file=sys.stderr)


def check_ports() -> None:
    """Raise Failure unless both ports are free: another `make dev` may be running in this folder."""
    for name, port in PORTS.items():
        with socket.socket() as probe:
            is_port = port.isdecimal() and 0 < int(port) < 65_536 and APP_URL != CYCLES_URL
            if not is_port or probe.connect_ex(("127.0.0.1", int(port))) == 0:
                raise Failure(f"port {port} is in use or invalid: set {name} to another one")


def write_env_file() -> None:
    """Write `.env` with random secrets, unless there is one."""
    path = Path(".env")
    if not path.exists():
        random = {name: secrets.token_urlsafe(32) for name in SECRETS}
        values = {"APP_ENV": "development", **random, **dev_identity.environment()}
        values |= dev_tenancy.environment() | PLACES
        write_private(path, "".join(f"{name}={value}\n" for name, value in values.items()))


def environment() -> dict[str, str | None]:
    """Return `.env` overlaid with the environment, as the app sees it."""
    return {**dotenv_values(".env"), **os.environ}


def keep(settings: dict[str, str]) -> dict[str, str]:
    """Replace the settings of an earlier run in `.env` by these. Settings that the owner wrote there stay."""
    path = Path(".env")
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.endswith(MARK)]
    theirs = dotenv_values(stream=StringIO("\n".join(lines)))
    lines += [f"{name}={value}{MARK}" for name, value in settings.items() if not theirs.get(name)]
    write_private(path, "\n".join([*lines, ""]))
    return settings


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only its owner can read. A kill leaves the old file."""
    new = DATA / f"{path.name}.new"
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    new.replace(path)


def read_state() -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads(STATE_FILE.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return state


def seed(state: dict[str, Any]) -> dict[str, Any]:
    """Add the demo tenants and the operator unless they exist. Return the content of var/dev.json."""
    settings = Settings()
    admin_key = settings.cycles_admin_api_key
    known: dict[str, Any] = state.get("tenants", {})
    budgets = {"acme": "5.00", "globex": small_budget(settings)}
    with ThreadPoolExecutor() as pool:  # each command takes a second to start
        operator = pool.submit(lambda: state.get("operator") or add_operator())
        tenants = {name: pool.submit(seed_tenant, name, budgets[name], known.get(name)) for name in budgets}
    return {
        "app_url": APP_URL,
        "cycles_url": CYCLES_URL,
        "cycles_admin_url": CYCLES_URL,
        "cycles_admin_api_key": admin_key.get_secret_value() if admin_key else None,
        "operator": operator.result(),
        "tenants": {name: tenant.result() for name, tenant in tenants.items()},
    }


def small_budget(settings: Settings) -> str:
    """Return USD for one and a half of the largest default call: spent after a few calls."""
    largest = Request(settings.llm_model, (Message("user", "x" * 200),), settings.llm_max_tokens)
    try:
        prices = Prices.load()
    except ValueError as error:
        raise Failure(str(error)) from None
    return format_usd(prices.hold_for(largest) * 3 // 2)


def seed_tenant(name: str, budget: str, known: dict[str, Any] | None) -> dict[str, Any]:
    """Add a tenant and return its entry of var/dev.json. `known` is the old entry: API keys are shown only once."""
    if known:
        api_key = known["headers"].get("Authorization", "").removeprefix("Bearer ")
    else:
        api_key = command("tenants", "add", name, "--name", name.title(), "--budget", budget, "--json")["api_key"]
    headers = dev_identity.headers(name, api_key, environment(), lambda *arguments: command(*arguments, "--json"))
    return {"headers": headers}


def add_operator() -> dict[str, str]:
    operator = {"username": "operator", "password": secrets.token_urlsafe(12)}
    command(
        "operators", "add", operator["username"], "--replace", "--password-stdin", "--json", stdin=operator["password"]
    )
    return operator


def command(*arguments: str, stdin: str | None = None, program: Sequence[str] = CLI) -> dict[str, Any]:
    """Run a CLI command. Return its --json output, if asked for. Raise Failure with its output if it fails."""
    done = subprocess.run([*program, *arguments], input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"`{' '.join([*program[1:], *arguments])}` failed:\n{done.stdout}{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout) if "--json" in arguments else {}
    return answer


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    # a session of its own, so that Ctrl-C reaches only this process, which stops the others in order
    return subprocess.Popen(arguments, start_new_session=True)


def stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(url: str, running: list[subprocess.Popen[bytes]]) -> None:
    """Wait until `url` answers 2xx. Raise Failure if a process stops before, or after START_S seconds."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if any(process.poll() is not None for process in running):
            raise Failure("a process did not start; see its output above")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise Failure(f"{url} did not answer in {START_S} s")


def print_summary(state: dict[str, Any]) -> None:
    acme, globex = (
        [f"{name}: {value}" for name, value in state["tenants"][tenant]["headers"].items()]
        for tenant in ("acme", "globex")
    )
    identity = " ".join(f"-H '{header}'" for header in acme)
    operator = state["operator"]
    body = json.dumps({"prompt": "What is a budget?"})
    print(
        f"""
  App        {APP_URL}   (API docs: {APP_URL}/docs)
  Dashboard  {APP_URL}/dashboard/   user {operator["username"]}, password {operator["password"]}
  Emulator   {CYCLES_URL}
  acme       {", ".join(acme)}
  globex     {", ".join(globex)}   (small budget: 402 after a few calls)

  Try it:

  curl {APP_URL}/api/chat -H 'Content-Type: application/json' {identity} -d '{body}'

  var/dev.json has all of this. Ctrl-C stops everything; the data stays in var/dev.
""",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
