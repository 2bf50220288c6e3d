"""`operators`: manage the operators, who use the dashboard and the admin."""

from ...commands import VerbsCommand
from ...verbs import COMMANDS


class Command(VerbsCommand):
    help, verbs = COMMANDS["operators"]
