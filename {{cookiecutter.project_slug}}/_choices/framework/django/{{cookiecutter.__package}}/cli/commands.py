"""What our management commands have in common. What they do, and how it is shown, is told in console.py."""

from collections.abc import Awaitable, Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ..tenants.onboarding import Onboarding
from . import console

Verb = Callable[[Onboarding, dict[str, Any]], Awaitable[Any]]
"""Given the verbs and the command's options: what console.run shows."""


class VerbsCommand(BaseCommand):
    """A command with verbs, like `tenants add`: a subclass names them by `verb` in `add_arguments`."""

    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        self._verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(self, name: str, words: str, work: Verb, *, of_tenant: bool = True) -> CommandParser:
        """Add a verb that does `work`, by default to the tenant `id`; the parser, for its further arguments."""
        parser: CommandParser = self._verbs.add_parser(name, help=words, description=words)
        parser.set_defaults(work=work)
        add_json(parser)
        if of_tenant:
            parser.add_argument("id", metavar="ID")
        return parser

    def handle(self, *, work: Verb, as_json: bool, **options: Any) -> None:
        console.run(lambda desk: work(desk, options), as_json)


def add_json(parser: CommandParser) -> None:
    parser.add_argument("--json", action="store_true", dest="as_json", help="One JSON object on stdout.")
