from pathlib import Path

import pytest

from {{ cookiecutter.__package }}.database import driver_url
from {{ cookiecutter.__package }}.migrate import drift


def test_the_migrations_make_the_tables_that_the_models_want() -> None:
    assert drift() is None


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("sqlite:////{folder}/new/app.sqlite3", "sqlite+aiosqlite:////{folder}/new/app.sqlite3"),
        ("postgresql://u:p@h:5/n?sslmode=require", "postgresql+asyncpg://u:p@h:5/n?ssl=require"),
    ],
)
def test_a_database_url_names_no_driver(tmp_path: Path, given: str, used: str) -> None:
    folder = str(tmp_path).lstrip("/")
    url = driver_url(given.format(folder=folder))
    assert url.render_as_string(hide_password=False) == used.format(folder=folder)
