"""`housekeeping`: renew budgets, revoke rotated keys, deliver alerts."""

from ...commands import VerbsCommand


class Command(VerbsCommand):
    pass
