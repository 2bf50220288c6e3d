"""`operators`: manage the operators, who use the dashboard and the admin."""

from ...commands import VerbsCommand


class Command(VerbsCommand):
    pass
