"""Alembic's entrance. It is loaded by its path, outside the package, where relative imports do not reach."""

from importlib import import_module
from pathlib import Path

import_module(f"{Path(__file__).parents[1].name}.cli.migrate").run()
