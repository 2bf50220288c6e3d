"""`python -m` and the package's name: the command line."""

from .cli import app

app()
