"""The app's database, for dev_month.py. Import it before any model: it sets Django up."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "{{ cookiecutter.__package }}.settings")
django.setup()

from {{ cookiecutter.__package }}.calls.store import CallStore  # noqa: E402
from {{ cookiecutter.__package }}.core.config import Settings  # noqa: E402
from {{ cookiecutter.__package }}.tenants.registry import Registry  # noqa: E402


@asynccontextmanager
async def open_stores(_settings: Settings) -> AsyncIterator[tuple[Registry, CallStore]]:
    """Open the registry and the record of calls."""
    yield Registry(), CallStore()
