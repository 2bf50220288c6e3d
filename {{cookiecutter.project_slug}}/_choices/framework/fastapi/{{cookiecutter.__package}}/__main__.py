"""`python -m` and the package's name: the command line."""

from .cli.app import app
from .cli.output import command_line

with command_line():
    app()
