"""Django's command line with our commands: the installed command, `python -m` and the package's name, or manage.py."""

import os
import sys

from django.core.management import BaseCommand, ManagementUtility

from .cli.output import command_line, program


class Commands(ManagementUtility):
    """Exits with 2 for an unknown command, as for other usage errors."""

    def fetch_command(self, subcommand: str) -> BaseCommand:
        try:
            return super().fetch_command(subcommand)
        except SystemExit:
            raise SystemExit(2) from None


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", f"{__package__}.settings")
    with command_line():
        Commands([program(), *(sys.argv[1:] or [""])]).execute()  # without any, Django's help exits with 0


if __name__ == "__main__":
    main()
