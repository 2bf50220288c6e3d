"""`keys`: manage the API keys of a tenant's callers."""

from ...commands import VerbsCommand
from ...verbs import COMMANDS


class Command(VerbsCommand):
    help, verbs = COMMANDS["keys"]
