"""The command line: `python -m` and the package's name."""

from .cli.app import main
from .cli.output import command_line

with command_line():
    main()
