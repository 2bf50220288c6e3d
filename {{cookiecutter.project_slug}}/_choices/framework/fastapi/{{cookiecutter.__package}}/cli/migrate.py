"""Database migrations. They need only DATABASE_URL."""

import sys
from tempfile import TemporaryDirectory

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from ..core.database import MIGRATIONS
from ..core.problems import Problem
from .console import database_problems


def upgrade() -> None:
    """Migrate the database to the newest version."""
    with database_problems():
        command.upgrade(_config(), "head")


def check() -> None:
    """Check that the migrations create the tables of the models."""
    with TemporaryDirectory() as folder:
        config = _config(f"sqlite:///{folder}/empty.sqlite3")
        command.upgrade(config, "head")
        try:
            command.check(config)
        except CommandError as error:
            raise Problem("drift", f"{error}: run `alembic revision --autogenerate -m ...`") from error


def _config(url: str | None = None) -> Config:
    config = Config(stdout=sys.stderr, attributes={"url": url, "if_behind": url is None})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
