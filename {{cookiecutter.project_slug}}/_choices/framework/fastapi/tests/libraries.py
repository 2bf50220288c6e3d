"""What takes most of the time that a start takes: imported once for all processes of the tests."""

LIBRARIES = [
    "aiosqlite",
    "alembic.command",
    "fastapi",
    "sqlalchemy.ext.asyncio",
    "typer.rich_utils",
    "uvicorn",
    # ours that read no setting when they are imported
    "{{ cookiecutter.__package }}.cli.app",
    "{{ cookiecutter.__package }}.dashboard.routes",
    "{{ cookiecutter.__package }}.web.services",
]
