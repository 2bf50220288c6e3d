"""The generated projects that are measured: baked, installed, with a tenant that pays and one that cannot."""

import hashlib
import json
import os
import secrets
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.conftest import CHOICES, UV, copy_template, python_for, user_environment

# runs in the project's own environment: it has the emulator and the settings of the project's tests
SET_UP = """
import json, sys
from pathlib import Path
from tests.running import installed_app, run_emulator
folder = Path(sys.argv[1])
with run_emulator(folder) as emulator:
    app = installed_app(folder, emulator.url)
    tenants = {name: app.add_tenant(budget, name)["headers"] for name, budget in (("acme", "1000000"), ("broke", "0"))}
print(json.dumps({"environment": app.environment, "headers": tenants}))
"""


@dataclass(frozen=True)
class Project:
    """A project ready to serve: its Python, the environment it serves with, what callers of its tenants send."""

    folder: Path
    python: Path
    environment: dict[str, str]
    headers: dict[str, dict[str, str]]

    @property
    def serve(self) -> list[str]:
        return [str(self.python), "-m", "acme_chat", "serve"]

    def tenants(self, number: int) -> list[dict[str, str]]:
        """Add so many tenants, copies of `acme` each with a key of its own: what their callers send."""
        keys = {f"t-{each:05}": f"rck_{each:08}_{secrets.token_urlsafe(32)}" for each in range(number)}
        with self._database() as database:
            copy(database, "tenants", "id = 'acme'", [{"id": tenant} for tenant in keys])
            columns = {row["name"] for row in database.execute("PRAGMA table_info(api_keys)")}
            owner = "tenant_id" if "tenant_id" in columns else "tenant"  # as an earlier commit calls it
            rows = [
                {"id": key[4:12], owner: tenant, "digest": hashlib.sha256(key.encode()).hexdigest()}
                for tenant, key in keys.items()
            ]
            copy(database, "api_keys", f"{owner} = 'acme'", rows)
        return [{"Authorization": f"Bearer {key}"} for key in keys.values()]

    def remember(self, calls: int) -> None:
        """See to it that the record of calls has so many rows at least: copies of the oldest, each a second older."""
        with self._database() as database:
            missing = calls - database.execute("SELECT count(*) FROM calls").fetchone()[0]
            end = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
            rows = ({"id": str(uuid.uuid4()), "at": f"{end - timedelta(seconds=each)}"} for each in range(missing))
            copy(database, "calls", "tenant = 'acme'", rows)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.environment["DATABASE_URL"].removeprefix("sqlite:///"), 30)) as database:
            database.row_factory = sqlite3.Row
            with database:
                yield database


def copy(database: sqlite3.Connection, table: str, which: str, changes: Iterable[dict[str, str]]) -> None:
    """Insert copies of the first row for which `which` holds, each with its changes."""
    model = dict(database.execute(f"SELECT * FROM {table} WHERE {which} LIMIT 1").fetchone())  # noqa: S608  (our own)
    columns, values = ", ".join(f'"{name}"' for name in model), ", ".join(f":{name}" for name in model)
    database.executemany(f"INSERT INTO {table} ({columns}) VALUES ({values})", (model | each for each in changes))  # noqa: S608


def make(framework: str, scratch: Path, template: Path | None = None, llm_provider: str = "demo") -> Project:
    """Bake a project of the framework, install it, onboard `acme` and `broke`."""
    scratch.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "--default-config", "-o", str(scratch / framework)]
    template = template or copy_template(scratch / f"template-{framework}")
    subprocess.run(
        [*command, str(template), f"framework={framework}", f"llm_provider={llm_provider}"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    folder = scratch / framework / "acme-chat"
    python = folder / ".venv/bin/python"
    its_python = {"UV_PYTHON": python_for(CHOICES["python_version"][0])}
    subprocess.run([UV, "sync", "--quiet"], cwd=folder, env=user_environment() | its_python, check=True)
    subprocess.run([UV, "pip", "install", "--quiet", "--python", str(python), "gunicorn"], check=True)
    data = scratch / f"data-{framework}"
    data.mkdir()
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder)}
    arguments = [str(python), "-c", SET_UP, str(data)]
    told = subprocess.run(arguments, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    made = json.loads(told.splitlines()[-1])
    # the tests' settings, but as in production: no reload, no debug, and a demo provider that does not dawdle
    serving = {**environment, **made["environment"], "APP_ENV": "production", "DEMO_DELAY_MS": "0"}
    return Project(folder, python, serving, made["headers"])
