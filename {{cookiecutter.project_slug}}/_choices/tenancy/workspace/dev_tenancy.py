"""Account at Cycles for development and tests: one Cycles tenant and a key of it."""

import asyncio
from collections.abc import Mapping

from {{ cookiecutter.__package }}.core.about import DISTRIBUTION
from {{ cookiecutter.__package }}.core.config import Settings
from {{ cookiecutter.__package }}.tenants.make_account import make_account


def environment() -> dict[str, str]:
    """Return the settings that a new installation needs."""
    return {"CYCLES_TENANT": f"{DISTRIBUTION}-dev"}


def account(environment: Mapping[str, str | None]) -> dict[str, str]:
    """Return the settings that need a running Cycles: the key, a new one unless Cycles knows the configured one."""
    settings = Settings.model_validate({name.lower(): value for name, value in environment.items() if value})
    return {"CYCLES_API_KEY": asyncio.run(make_account(settings))}
