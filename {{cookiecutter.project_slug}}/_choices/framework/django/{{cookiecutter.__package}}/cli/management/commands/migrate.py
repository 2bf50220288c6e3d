"""`migrate`: Django's, one process at a time."""

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from django.core.management.commands import migrate
from django.db import connection

from ....core.sqlite_file import make_private
from ...console import database_problems


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        """Wait for concurrent migrations, then migrate. A kill ends the lock too."""
        with database_problems(), connection.wrap_database_errors, ExitStack() as lock:
            if connection.vendor == "sqlite":  # not in the database itself, where Django begins its own transactions
                file = Path(f"{connection.settings_dict['NAME']}.migrate")
                make_private(file)
                lock.enter_context(closing(sqlite3.connect(file, timeout=600))).execute("BEGIN EXCLUSIVE")
            else:
                execute = connection.cursor().execute
                execute("SELECT pg_advisory_lock(7878)")
                lock.callback(execute, "SELECT pg_advisory_unlock(7878)")
            super().handle(*args, **options)
