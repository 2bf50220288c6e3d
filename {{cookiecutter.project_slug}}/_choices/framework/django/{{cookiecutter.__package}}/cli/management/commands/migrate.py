"""`migrate`: Django's, one process at a time."""

import sqlite3
from typing import Any

from django.core.management.commands import migrate
from django.db import connection

WAIT_S = 600


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        """Wait for concurrent migrations, then migrate. The lock ends with the connection, also after a kill."""
        if connection.vendor == "sqlite":  # not in the database itself: Django changes tables in its own transactions
            lock = sqlite3.connect(f"{connection.settings_dict['NAME']}.migrate", timeout=WAIT_S, isolation_level=None)
            lock.execute("BEGIN EXCLUSIVE")
        else:
            connection.cursor().execute("SELECT pg_advisory_lock(7878)")
        super().handle(*args, **options)
