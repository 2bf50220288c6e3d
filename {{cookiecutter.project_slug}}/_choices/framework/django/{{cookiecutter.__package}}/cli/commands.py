"""Base of our management commands."""

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ..tenants.service import Answer
from . import console

Verb = Callable[..., Awaitable[Answer]]


class VerbsCommand(BaseCommand):
    """A command with verbs, like `tenants add`. Subclasses add them in `add_arguments`."""

    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        self._verbs = parser.add_subparsers(metavar="VERB", required=True)

    def verb(self, name: str, verb: Verb, *, of_tenant: bool = True) -> CommandParser:
        """Add a verb that calls a function with the tenant service, or its registry, and the options that it takes.

        The first line of its docstring is the help. Returns the parser, for more arguments.
        """
        words = (inspect.getdoc(verb) or "").partition("\n")[0]
        parser: CommandParser = self._verbs.add_parser(name, help=words, description=words)
        parser.set_defaults(verb=verb)
        add_json(parser)
        if of_tenant:
            parser.add_argument("tenant_id", metavar="ID")
        return parser

    def handle(self, *, verb: Verb, as_json: bool, **options: Any) -> None:
        parameters = inspect.signature(verb).parameters
        given = {name: options[name] for name in parameters if name in options}
        takes_registry = "registry" in parameters
        console.run(lambda service: verb(service.registry if takes_registry else service, **given), as_json)


def add_json(parser: CommandParser) -> None:
    parser.add_argument("--json", action="store_true", dest="as_json", help="Write one JSON object to stdout.")
