"""`operators`: the people who may use the dashboard and the admin."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from ....tenants.onboarding import Onboarding
from ...commands import VerbsCommand
from ...operators import AddedOperator, add_operator


class Command(VerbsCommand):
    help = "The people who may use the dashboard and the admin: staff users."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add = self.verb("add", "Let somebody in, or give them a new password.", _add, of_tenant=False)
        add.add_argument("name", metavar="NAME")
        add.add_argument("--password-stdin", action="store_true", help="Read it from standard input.")


async def _add(desk: Onboarding, given: dict[str, Any]) -> AddedOperator:
    password = sys.stdin.readline().rstrip("\r\n") if given["password_stdin"] else None
    return await add_operator(desk.registry, given["name"], password)
