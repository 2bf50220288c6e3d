"""System checks. Those of the settings are for serving (`check --deploy`): other commands work without them."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004  (Django's name)

from .startup import faults


@register(Tags.security, deploy=True)
def settings_may_serve(**_: Any) -> list[CheckMessage]:
    return [Error(fault, id="budget.E001") for fault in faults(settings.ENV)]


@register
def served_by_asgi(**_: Any) -> list[CheckMessage]:
    if settings.WSGI_APPLICATION is None:
        return []
    hint = "Serve asgi:application and drop WSGI_APPLICATION: under WSGI streams are not settled when a client leaves."
    return [
        Warning("Paid routes are asynchronous and need the lifespan protocol, which WSGI lacks", hint, id="budget.W001")
    ]
