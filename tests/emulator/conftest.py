"""Every test here speaks HTTP to a real emulator process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .server import App, Server

TEMPLATE = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"


@pytest.fixture(scope="session")
def emulator_dir() -> Path:
    """The folder in which `python -m emulator` works. The emulator is copied unrendered, so the template's own will do."""
    return TEMPLATE


@pytest.fixture(scope="session")
def server(emulator_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One emulator for all tests that bring their own tenants."""
    server = Server(emulator_dir, tmp_path_factory.mktemp("emulator") / "state.sqlite3")
    yield server
    assert server.stop() == 0


@pytest.fixture
def app(server: Server) -> App:
    return App(server)
