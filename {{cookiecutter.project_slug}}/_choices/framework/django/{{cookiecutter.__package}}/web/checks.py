"""System checks. Those of the settings are for serving (`check --deploy`): other commands work without them."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004  (Django's name)

from .startup import faults_by_concern

IDS = {
    "secrets": "budget.E001",
    "identity": "budget.E002",
    "hosts": "budget.E003",
    "journal": "budget.E004",
    "addresses": "budget.E005",
    "models": "budget.E006",
    "provider": "budget.E007",
    "tenancy": "budget.E008",
}
"""What the faults of `faults_by_concern` are called."""


@register(Tags.security, deploy=True)
def settings_may_serve(**_: Any) -> list[CheckMessage]:
    found = faults_by_concern(settings.ENV)
    return [Error(fault, id=IDS[concern]) for concern, told in found.items() for fault in told]


@register
def served_by_asgi(**_: Any) -> list[CheckMessage]:
    if settings.WSGI_APPLICATION is None:
        return []
    hint = "Serve asgi:application and drop WSGI_APPLICATION: under WSGI streams are not settled when a client leaves."
    return [
        Warning("Paid routes are asynchronous and need the lifespan protocol, which WSGI lacks", hint, id="budget.W001")
    ]
