"""The command line: the installed command, or `python -m` and the package's name."""

from .cli import app
from .cli.output import command_line


def main() -> None:
    with command_line():
        app.main()


if __name__ == "__main__":
    main()
