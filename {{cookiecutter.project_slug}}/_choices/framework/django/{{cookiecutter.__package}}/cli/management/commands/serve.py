"""`serve`: the server process."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from ...server import serve


class Command(BaseCommand):
    help = "Serve the app, configured by the environment: HOST, PORT, WORKERS and others."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reload", action="store_true", help="Restart when code changes.")

    def handle(self, *, reload: bool, **_: Any) -> None:
        serve(settings.ENV, "asgi:application", reload=reload)
