"""`keys`: the API keys that a tenant's callers send."""

from django.core.management.base import CommandParser

from ....tenants.keys import show_keys, show_new_key, show_revoked_key
from ...commands import VerbsCommand


class Command(VerbsCommand):
    help = "The API keys that a tenant's callers send."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        self.verb(
            "list",
            "A tenant's keys: their names and dates, never themselves.",
            lambda desk, given: show_keys(desk.registry, given["id"]),
        )

        add = self.verb(
            "add",
            "One more key for a tenant, shown once.",
            lambda desk, given: show_new_key(desk.registry, given["id"], given["name"]),
        )
        add.add_argument("--name", default="more", help="What it is for.")

        revoke = self.verb(
            "revoke",
            "Refuse a key from now on.",
            lambda desk, given: show_revoked_key(desk.registry, given["id"], given["key_id"]),
        )
        revoke.add_argument("key_id", metavar="KEY_ID")
