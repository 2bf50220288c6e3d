"""`migrate`: Django's, one process at a time."""

import sqlite3
from contextlib import ExitStack, closing
from typing import Any

from django.core.management.commands import migrate
from django.db import connection


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        """Wait for concurrent migrations, then migrate. A kill ends the lock too."""
        with ExitStack() as lock:
            if connection.vendor == "sqlite":  # not in the database itself, where Django begins its own transactions
                file = sqlite3.connect(f"{connection.settings_dict['NAME']}.migrate", timeout=600)
                lock.enter_context(closing(file)).execute("BEGIN EXCLUSIVE")
            else:
                execute = connection.cursor().execute
                execute("SELECT pg_advisory_lock(7878)")
                lock.callback(execute, "SELECT pg_advisory_unlock(7878)")
            super().handle(*args, **options)
