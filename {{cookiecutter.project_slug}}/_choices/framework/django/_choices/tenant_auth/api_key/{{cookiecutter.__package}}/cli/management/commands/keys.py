"""`keys`: manage the API keys of a tenant's callers."""

from django.core.management.base import CommandParser

from ....tenants.keys import add_key, list_keys, revoke_key
from ...commands import VerbsCommand


class Command(VerbsCommand):
    help = "Manage the API keys of a tenant's callers."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        self.verb("list", list_keys)
        add = self.verb("add", add_key)
        add.add_argument("--name", default="more", help="Display name.")
        revoke = self.verb("revoke", revoke_key)
        revoke.add_argument("key_id", metavar="KEY_ID")
