"""What takes most of the time that a command's start takes: imported once for all commands of the tests."""

LIBRARIES = [
    "aiosqlite",
    "alembic.command",
    "fastapi",
    "sqlalchemy.ext.asyncio",
    "typer.rich_utils",
    "uvicorn",
]
