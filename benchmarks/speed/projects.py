"""The generated projects that are measured: baked, installed, with a tenant that pays and one that cannot."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import UV, copy_template, user_environment

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


def make(framework: str, scratch: Path) -> Project:
    """Bake a project of the framework with the demo provider, install it, onboard `acme` and `broke`."""
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "--default-config", "-o", str(scratch / framework)]
    template = copy_template(scratch / f"template-{framework}")
    subprocess.run(
        [*command, str(template), f"framework={framework}", "llm_provider=demo"], check=True, stdout=subprocess.DEVNULL
    )
    folder = scratch / framework / "acme-chat"
    python = folder / ".venv/bin/python"
    subprocess.run([UV, "sync", "--quiet"], cwd=folder, env=user_environment(), check=True)
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
