"""Runs commands that need the tenant service."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from ..core.config import Settings
from ..core.logging import set_up_logging
from ..core.problems import Problem
from ..tenants.registry import DATABASE_ERRORS, open_registry
from ..tenants.service import Answer, tenant_service
from .output import show

Verb = Callable[..., Awaitable[Answer]]


def run(*, verb: Verb, as_json: bool, **options: Any) -> None:
    """Call a verb with the tenant service, or its registry, and with the options that it takes. Show its answer.

    Exits with 1 if the answer has an `error`.
    """
    parameters = inspect.signature(verb).parameters
    given = {name: options[name] for name in parameters if name in options}

    async def answer_of(settings: Settings) -> Answer:
        async with open_registry(settings.database_url) as registry, tenant_service(settings, registry) as service:
            return await verb(registry if "registry" in parameters else service, **given)

    settings = Settings()
    set_up_logging(development=settings.development)
    try:
        answer = asyncio.run(answer_of(settings))
    except DATABASE_ERRORS as error:
        advice = "Check DATABASE_URL and that the database is up, and run `make migrate`."
        raise Problem("database", f"The database cannot be used ({type(error).__name__}). {advice}") from error
    show(answer, as_json)
    if "error" in answer:
        raise SystemExit(1)
