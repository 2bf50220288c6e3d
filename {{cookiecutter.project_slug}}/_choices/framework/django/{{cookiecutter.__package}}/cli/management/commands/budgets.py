"""`budgets`: manage the budgets of a tenant's end users and agents."""

from ...commands import VerbsCommand


class Command(VerbsCommand):
    pass
