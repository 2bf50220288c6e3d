"""README and docs of generated projects: commands and snippets run as written, and what they name exists."""

import ast
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .combinations import Answers, pairwise
from .conftest import CHOICES, ROOT, UV, Bake, BakedProject, user_environment
from .laboratory.processes import free_port
from .test_generated import EACH_FRAMEWORK, shown

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELL = {"console", "bash", "sh"}
NOT_RUN = {
    "make dev": "runs already, while the others do",
    "make test": "run by test_generated.py, as are the next two",
    "make check": "",
    "uv run pytest": "",
    "make dev-reset": "refused while the app runs",
    "make stack": "needs Docker, as does the next one",
    "docker": "",
    "kubectl": "needs a cluster",
    "pg_dump": "needs a PostgreSQL server, as does the next one",
    "pg_restore": "",
    "sqlite3": "needs the program, and a settlement that was set aside",
    "uvx": "needs the network, as do the next two",
    "cruft": "",
    "uv export": "",
    "uv lock": "writes files that are committed",
    "openssl": "needs the program",
    "uv run --extra otel": "installs the extra; run by tests/tracing",
    "make update": "run by test_updates.py",
}
"""Beginnings of commands that are checked for their syntax only, and why."""
PROGRAMS: dict[str, tuple[str, ...]] = {"python": (".venv/bin/python", "-c")}
"""What runs a snippet, by its language."""
if shutil.which("node"):
    PROGRAMS["js"] = ("node", "--input-type=module", "-e")
START_S = 120
COMMAND_S = 120


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, the number of its first line, its language and text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Each command with the output shown below it. In `console` a command has a `$ ` before it."""
        found: list[tuple[str, str]] = []
        for line in self.text.splitlines():
            if found and is_open(found[-1][0]):
                found[-1] = (f"{found[-1][0]}\n{line}", "")
            elif self.language != "console" or line.startswith("$ "):
                found.append((line.removeprefix("$ "), ""))
            elif found:
                found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
        return [(command, output) for command, output in found if command.strip() and not command.startswith("#")]


def is_open(command: str) -> bool:
    """Whether the shell would read another line: after a backslash, or within quotes."""
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return True
    return command.endswith("\\")


def pages_of(folder: Path) -> dict[str, str]:
    paths = [*sorted(folder.glob("*.md")), *sorted(folder.glob("docs/*.md"))]
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def blocks_of(folder: Path) -> Iterator[Block]:
    for page, text in pages_of(folder).items():
        for found in BLOCK.finditer(text):
            yield Block(page, text[: found.start()].count("\n") + 1, found[1], found[2])


def is_run(command: str) -> bool:
    return not any(re.match(rf"(\w+=\S+ )*{re.escape(start)}( |$)", command) for start in NOT_RUN)


@contextlib.contextmanager
def dev(project: BakedProject) -> Iterator[tuple[dict[str, Any], dict[str, str], Path]]:
    """Run `make dev`: what var/dev.json says, the environment for other commands, and its output."""
    log, state = project.path.parent / "dev.log", project.path / "var/dev.json"
    ports = {"PORT": str(free_port()), "CYCLES_PORT": str(free_port())}
    environment = user_environment() | project.environment | ports
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", "dev", f"UV={UV}"],
            cwd=project.path,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_S
        while not state.exists():
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, "make dev is not ready"
            time.sleep(0.1)
        told = json.loads(state.read_text(encoding="utf-8"))
        cycles = {"CYCLES_BASE_URL": told["cycles_url"], "CYCLES_ADMIN_URL": told["cycles_admin_url"]}
        admin = {"CYCLES_ADMIN_API_KEY": told["cycles_admin_api_key"]}
        path = {"PATH": f"{Path(UV).parent}{os.pathsep}{environment['PATH']}"}
        yield told | {"ids": {}}, environment | cycles | admin | path, log
        process.terminate()
        process.wait(30)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def filled_in(text: str, told: dict[str, Any]) -> str:
    """Replace addresses, acme's identity and placeholders in the docs by those of this run."""
    text = text.replace("http://127.0.0.1:8000", told["app_url"]).replace("http://127.0.0.1:7878", told["cycles_url"])
    for name, value in told["tenants"]["acme"]["headers"].items():
        text = re.sub(rf"'{name}: [^']*'", f"'{name}: {value}'", text)
        text = re.sub(rf'"{name}": "[^"]*"', f'"{name}": "{value}"', text)
    for name, value in told["ids"].items():
        text = text.replace(name.upper(), value)
    return text


def missing(shown: str, said: str) -> list[str]:
    """Return the lines, or members of JSON, that are shown but were not said. Numbers, IDs and `...` may differ."""
    if shown.lstrip().startswith("{"):
        return [name for name in re.findall(r'"(\w+)":', shown) if f'"{name}":' not in said]
    lines = [" ".join(line.split()) for line in shown.splitlines() if line.strip(" .")]
    said = " ".join(said.split())
    return [line for line in lines if not re.search(pattern_of(line), said)]


def pattern_of(line: str) -> str:
    """A regular expression for a line of output whose volatile parts may differ."""
    volatile = r"\S*\.\.\.|\b(?=\w*\d)[\w-]{6,}|\b(?=\w*[a-z][A-Z])[\w-]{8,}|\d[\d.,:]*"
    parts = re.split(f"({volatile})", line)
    return "".join(r".*?" if number % 2 else re.escape(part) for number, part in enumerate(parts))


def faults_of(block: Block, project: BakedProject, told: dict[str, Any], environment: dict[str, str]) -> Iterator[str]:
    """Run what the block says; yield what is wrong."""

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=project.path,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=COMMAND_S,
            check=False,
        )

    if block.language in SHELL:
        for command, output in block.commands:
            if is_run(command):
                done = run("bash", "-c", filled_in(command, told))
                told["ids"] |= re.findall(r'\b(key_id)"?: "?([\w-]+)', done.stdout)
                if done.returncode:
                    yield f"{command}\nended with {done.returncode}: {done.stdout}{done.stderr}"
                yield from (f"{command}\nsays no {line!r}: {done.stdout}" for line in missing(output, done.stdout))
    elif (program := PROGRAMS.get(block.language)) and not in_package(block.text, project):
        done = run(*program, filled_in(block.text, told))
        if done.returncode:
            yield done.stdout + done.stderr


def in_package(snippet: str, project: BakedProject) -> bool:
    """Whether a snippet is part of a module that the app imports, and not a script."""
    return bool(re.search(rf"^(from (\.|{project.package.name})|@|async )", snippet, re.MULTILINE))


@pytest.mark.skipif(sys.platform == "win32", reason="the project's Makefile is for POSIX")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("answers", shown(EACH_FRAMEWORK))
def test_commands_and_snippets_of_the_docs_run_as_written(set_up: Bake, answers: Answers) -> None:
    project = set_up(**answers)
    with dev(project) as (told, environment, log):
        faults = [
            f"{block.page}:{block.line}: {fault}"
            for block in blocks_of(project.path)
            for fault in faults_of(block, project, told, environment)
        ]
        for block in blocks_of(project.path):
            for command, output in block.commands if block.language in SHELL else ():
                said = log.read_text(encoding="utf-8") if command == "make dev" else output
                faults += [f"{block.page}:{block.line}: {line!r} is not printed" for line in missing(output, said)]
    if faults:
        pytest.fail("\n".join(faults), pytrace=False)


@pytest.fixture(params=[pytest.param(each, id="-".join(each.values())) for each in pairwise(CHOICES)])
def project(request: pytest.FixtureRequest, bake_once: Bake) -> BakedProject:
    return bake_once(**request.param)


def test_every_block_is_well_formed(project: BakedProject) -> None:
    for block in blocks_of(project.path):
        where = f"{block.page}:{block.line}"
        if block.language in SHELL:
            for command, _ in block.commands:
                assert_syntax(command, where)
        elif block.language in ("python", "py"):
            compile(block.text, where, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        elif block.language == "json" and "..." not in block.text:
            json.loads(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)


def assert_syntax(command: str, where: str) -> None:
    checked = subprocess.run(["bash", "-n", "-c", command], capture_output=True, encoding="utf-8", check=False)
    assert checked.returncode == 0, f"{where}: {checked.stderr}"


def sources_of(project: BakedProject) -> str:
    """All that is not documentation."""
    kept = {".py", ".toml", ".html", ".css", ".yaml", ".yml", ".env", ".example", ".sql", ""}
    paths = [path for path in project.files if path.suffix in kept and path.parts[0] != ".git"]
    return "\n".join(project.read(path) for path in paths)


def test_every_name_in_a_snippet_of_the_package_exists(project: BakedProject) -> None:
    words = {*re.findall(r"\w+", sources_of(project))}
    for block in blocks_of(project.path):
        if block.language in ("python", "py") and in_package(block.text, project):
            named = re.findall(r"\.([A-Za-z_]\w*)|import (\w+)", block.text)
            lacking = {name for pair in named for name in pair if name} - words - OF_STRIPE
            assert not lacking, f"{block.page}:{block.line}: {lacking}"


def test_every_target_setting_file_and_link_that_the_docs_name_exists(project: BakedProject) -> None:
    sources = sources_of(project)
    targets = {*re.findall(r"^([a-z-]+):", project.read("Makefile"), re.MULTILINE)}
    settings = {*re.findall(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+", sources)}
    names = {path.as_posix() for path in project.files} | {path.name for path in project.files}
    for page, text in pages_of(project.path).items():
        code = re.findall(r"`([^`\n]+)`", text) + [
            block.text for block in blocks_of(project.path) if block.page == page
        ]
        told = "\n".join(code)
        assert {*re.findall(r"\bmake ([a-z][a-z-]+)", told)} <= targets, page
        assert {*re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", told)} - settings <= FOREIGN, page
        paths = {each for each in code if re.fullmatch(r"[\w./-]+\.(py|toml|html|css|yaml|md)", each)}
        lacking = {each for each in paths if not any(name.endswith(f"/{each}") or name == each for name in names)}
        assert not lacking, f"{page}: {lacking}"
        for link, anchor in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
            target = (project.path / page).parent / link if link else project.path / page
            assert target.exists(), f"{page}: {link}"
            assert not anchor or anchor in anchors_of(target), f"{page}: {link}#{anchor}"


FOREIGN = {
    *("RESERVATION_ID", "KEY_ID", "TENANT_ID", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"),
    *("OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL"),
    *("OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER", "STRIPE_WEBHOOK_SECRET"),
    *("UV_CACHE_DIR", "UV_PROJECT_ENVIRONMENT"),
}
"""Placeholders, and what belongs to others."""


OF_STRIPE = {
    *("stripe", "Webhook", "construct_event", "SignatureVerificationError", "type", "data", "object"),
    *("async_payment_succeeded", "payment_status", "currency", "amount_total", "client_reference_id", "payment_intent"),
}
"""Names in the recipe of a webhook for Stripe."""


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("block", [*blocks_of(ROOT)], ids=lambda block: f"{block.page}:{block.line}")
def test_commands_of_the_templates_own_docs_name_what_exists(block: Block) -> None:
    recipes = {*re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)}
    for command, _ in block.commands if block.language in SHELL else ():
        assert_syntax(command, block.page)
        here = "cd " not in block.text  # after it make is the generated project's
        assert not here or {*re.findall(r"\bmake ([a-z-]+)", command)} <= recipes
        for path in re.findall(r"(?<!\S)(?:tests|docs|benchmarks|hooks)/[\w./-]+", command):
            assert (ROOT / path).exists(), f"{block.page}:{block.line}: {path}"
