"""Every test here speaks HTTP to a real emulator process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Bake

from .server import App, Server


@pytest.fixture(scope="session")
def emulator_dir(bake_once: Bake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a baked project, in which `python -m emulator` works."""
    return bake_once().copied_to(tmp_path_factory.mktemp("emulator")).path


@pytest.fixture(scope="session")
def server(emulator_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One emulator for all tests that bring their own tenants."""
    server = Server(emulator_dir, tmp_path_factory.mktemp("emulator") / "state.sqlite3")
    yield server
    assert server.stop() == 0


@pytest.fixture
def app(server: Server) -> App:
    return App(server)
