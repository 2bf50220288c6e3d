"""Commands for callers' credentials: none, they are not made here."""

import typer


def add_to(_: typer.Typer) -> None:
    """Add no command."""
