"""Cost of 10,000 tenants: `uv run python -m benchmarks.tenants [--tenants 10000]`.

Generates and installs a FastAPI project and runs inside.py in its environment: the app with a filled registry and
emulator, compared with one plain SDK client per tenant. Prints a table. Needs Linux.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import UV, copy_template, user_environment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tenants", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        template = copy_template(Path(folder) / "template")
        command = [sys.executable, "-m", "cookiecutter", "--no-input", "--default-config", "-o", folder, str(template)]
        subprocess.run([*command, "llm_provider=demo"], check=True, stdout=subprocess.DEVNULL)
        project = Path(folder) / "acme-chat"
        subprocess.run([UV, "sync", "--quiet"], cwd=project, env=user_environment(), check=True)
        inside = [".venv/bin/python", str(Path(__file__).with_name("inside.py")), folder, str(options.tenants)]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(project)}
        subprocess.run(inside, cwd=project, env=environment, check=True)
    print(f"\nOn {os.cpu_count()} cores, {platform.system()}, Python of the project's environment.")


main()
