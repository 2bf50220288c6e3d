"""`doctor`: find what keeps the service from working."""

from ...commands import VerbsCommand
from ...verbs import COMMANDS


class Command(VerbsCommand):
    help, verbs = COMMANDS["doctor"]
