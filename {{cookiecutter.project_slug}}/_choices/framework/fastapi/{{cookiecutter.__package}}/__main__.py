"""`python -m` and the package's name: the command line."""

from .cli import app
from .output import command_line

with command_line():
    app()
