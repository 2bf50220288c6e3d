"""`tenants`: manage tenants and their budgets."""

from ...commands import VerbsCommand


class Command(VerbsCommand):
    pass
