"""`doctor`: find what keeps the service from working."""

from ...commands import VerbsCommand


class Command(VerbsCommand):
    pass
