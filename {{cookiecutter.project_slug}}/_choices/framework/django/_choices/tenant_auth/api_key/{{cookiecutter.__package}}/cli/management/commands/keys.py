"""`keys`: manage the API keys of a tenant's callers."""

from ...commands import VerbsCommand


class Command(VerbsCommand):
    pass
