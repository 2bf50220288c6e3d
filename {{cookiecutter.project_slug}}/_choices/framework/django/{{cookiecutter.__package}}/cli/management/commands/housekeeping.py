"""`housekeeping`: renew budgets, revoke rotated keys, deliver alerts."""

from ...commands import VerbsCommand
from ...verbs import COMMANDS


class Command(VerbsCommand):
    help, verbs = COMMANDS["housekeeping"]
