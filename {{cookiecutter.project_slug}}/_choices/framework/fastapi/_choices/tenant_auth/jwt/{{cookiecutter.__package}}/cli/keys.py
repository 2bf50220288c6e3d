"""The commands that keep the callers' credentials: none, for they are not made here."""

import typer


def add_to(_: typer.Typer) -> None:
    """Nothing to add."""
