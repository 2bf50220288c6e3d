"""`python -m` and the package's name, or manage.py: Django's command line with our commands."""

import os
import sys

from django.core.management import execute_from_command_line
from pydantic import ValidationError

from .output import fail, faults_of


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", f"{__package__}.django_settings")
    try:
        execute_from_command_line([f"python -m {__package__}", *sys.argv[1:]])
    except ValidationError as error:  # a setting that cannot be read
        fail("invalid", faults_of(error), "--json" in sys.argv)


if __name__ == "__main__":
    main()
