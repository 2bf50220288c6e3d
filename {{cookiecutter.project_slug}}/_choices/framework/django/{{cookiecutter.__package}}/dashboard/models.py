"""The table of what operators did."""

from django.db import models


class AuditEntry(models.Model):
    """An action of an operator, or of `cli:` and a user of the system.

    `tenant` is empty if it concerns none, or all. `outcome` is None while it runs, and if it was interrupted.
    """

    id = models.CharField(max_length=64, primary_key=True)
    at = models.DateTimeField(db_index=True)
    operator = models.CharField(max_length=256)
    action = models.CharField(max_length=64)
    tenant = models.CharField(max_length=64, db_index=True)
    outcome = models.CharField(max_length=256, null=True)

    class Meta:
        db_table = "audit"
        ordering = ("-at", "id")
