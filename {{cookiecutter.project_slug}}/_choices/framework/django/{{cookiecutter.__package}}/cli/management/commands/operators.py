"""`operators`: manage the operators, who use the dashboard and the admin."""

from django.core.management.base import CommandParser

from ...commands import VerbsCommand
from ...operators import add_operator


class Command(VerbsCommand):
    help = "Manage the operators, who use the dashboard and the admin: staff users."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add = self.verb("add", add_operator, of_tenant=False)
        add.add_argument("name", metavar="NAME")
        add.add_argument("--password-stdin", action="store_true", help="Read the password from stdin.")
