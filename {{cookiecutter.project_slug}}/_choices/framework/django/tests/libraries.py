"""What takes most of the time that a command's start takes: imported once for all commands of the tests."""

LIBRARIES = [
    "django.contrib.admin",
    "django.core.management.commands.migrate",
    "django.db.backends.sqlite3.base",
]
