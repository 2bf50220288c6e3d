"""System checks of the settings. They run with `check --deploy` only: other commands need no settings."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from .startup import faults


@register(Tags.security, deploy=True)
def check_settings(**_: Any) -> list[CheckMessage]:
    return [Error(fault, id="web.E001", hint="See .env.example.") for fault in faults(settings.ENV)]
