"""The command line: the installed command, or `python -m` and the package's name."""

from .cli.app import main

if __name__ == "__main__":
    main()
