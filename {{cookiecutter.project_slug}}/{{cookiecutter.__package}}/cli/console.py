"""Runs commands that need the tenant service."""

import asyncio
from collections.abc import Awaitable, Callable

from ..core.config import Settings
from ..core.logging import set_up_logging
from ..core.problems import Problem
from ..tenants.registry import DATABASE_ERRORS, open_registry
from ..tenants.service import Answer, TenantService, tenant_service
from .output import show


def run(work: Callable[[TenantService], Awaitable[Answer]], as_json: bool) -> None:
    """Do `work` and show its answer. Exits with 1 if the answer has an `error`."""

    async def answer_of(settings: Settings) -> Answer:
        async with open_registry(settings.database_url) as registry, tenant_service(settings, registry) as service:
            return await work(service)

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
