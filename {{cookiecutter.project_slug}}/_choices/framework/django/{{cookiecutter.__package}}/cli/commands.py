"""Base of our management commands."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from .verbs import Verb, add_verbs, run


class VerbsCommand(BaseCommand):
    """A command of `verbs.COMMANDS`."""

    requires_system_checks = ()
    verbs: Any

    def add_arguments(self, parser: CommandParser) -> None:
        add_verbs(parser, self.verbs)

    def handle(self, *, verb: Verb, as_json: bool, **options: Any) -> None:
        run(verb=verb, as_json=as_json, **options)
