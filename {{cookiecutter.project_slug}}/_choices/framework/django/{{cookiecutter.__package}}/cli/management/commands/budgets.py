"""`budgets`: manage the budgets of a tenant's end users and agents."""

from ...commands import VerbsCommand
from ...verbs import COMMANDS


class Command(VerbsCommand):
    help, verbs = COMMANDS["budgets"]
