"""Modules that are slow to import: imported once, before the tests fork processes."""

LIBRARIES = [
    "aiosqlite",
    "alembic.command",
    "fastapi",
    "sqlalchemy.ext.asyncio",
    "uvicorn",
    # ours that read no setting when they are imported
    "{{ cookiecutter.__package }}.cli.app",
    "{{ cookiecutter.__package }}.dashboard.routes",
    "{{ cookiecutter.__package }}.web.services",
]
