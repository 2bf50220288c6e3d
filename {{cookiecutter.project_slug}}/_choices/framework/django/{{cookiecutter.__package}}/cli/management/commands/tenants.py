"""`tenants`: manage tenants and their budgets."""

from ...commands import VerbsCommand
from ...verbs import COMMANDS


class Command(VerbsCommand):
    help, verbs = COMMANDS["tenants"]
