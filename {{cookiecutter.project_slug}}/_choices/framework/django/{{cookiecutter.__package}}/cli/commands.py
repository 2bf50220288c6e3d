"""Base of our management commands."""

from collections.abc import Mapping
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ..tenants.service import Verb
from .console import run
from .verbs import COMMANDS, add_verbs


class VerbsCommand(BaseCommand):
    """The command of `verbs.COMMANDS` that has the name of its module."""

    requires_system_checks = ()
    verbs: Mapping[str, Verb]

    def __init_subclass__(cls) -> None:
        cls.help, cls.verbs = COMMANDS[cls.__module__.rpartition(".")[2]]

    def add_arguments(self, parser: CommandParser) -> None:
        add_verbs(parser, self.verbs)

    def handle(self, **options: Any) -> None:
        run(**options)
