"""System checks. Those of the settings run with `check --deploy` only: other commands need no settings."""

import sys
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004  (Django's name)

from .startup import faults


@register(Tags.security, deploy=True)
def check_settings(**_: Any) -> list[CheckMessage]:
    return [Error(fault, id="budget.E001") for fault in faults(settings.ENV)]


@register
def check_server(**_: Any) -> list[CheckMessage]:
    if settings.WSGI_APPLICATION is None and "runserver" not in sys.argv:
        return []
    message = "Paid routes and the dashboard need ASGI's lifespan, which runserver and WSGI servers lack."
    return [Warning(message, "Use `python manage.py serve --reload`, and no WSGI_APPLICATION.", id="budget.W001")]
