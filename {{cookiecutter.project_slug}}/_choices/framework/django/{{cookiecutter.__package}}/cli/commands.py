"""Base of our management commands."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from .console import run
from .verbs import add_verbs


class VerbsCommand(BaseCommand):
    """A command of `verbs.COMMANDS`."""

    requires_system_checks = ()
    verbs: Any

    def add_arguments(self, parser: CommandParser) -> None:
        add_verbs(parser, self.verbs)

    def handle(self, **options: Any) -> None:
        run(**options)
