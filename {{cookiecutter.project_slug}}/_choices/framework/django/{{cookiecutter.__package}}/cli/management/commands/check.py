"""`check`: Django's, and that the migrations create the tables of the models."""

from typing import Any

from django.core.management import call_command
from django.core.management.commands import check


class Command(check.Command):
    def handle(self, *labels: Any, **options: Any) -> None:
        super().handle(*labels, **options)
        call_command("makemigrations", check_changes=True, verbosity=0)
