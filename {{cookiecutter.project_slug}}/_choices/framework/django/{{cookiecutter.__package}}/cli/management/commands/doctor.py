"""`doctor`: find what keeps the service from working."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from ... import console, doctor
from ...commands import add_json


class Command(BaseCommand):
    help = doctor.report.__doc__ or ""
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        add_json(parser)

    def handle(self, *, as_json: bool, **_: Any) -> None:
        console.run(doctor.report, as_json)
