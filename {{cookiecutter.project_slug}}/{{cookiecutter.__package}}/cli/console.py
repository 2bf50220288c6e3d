"""Runs commands that need the tenant service."""

import asyncio
from collections.abc import Awaitable, Callable

from ..core.config import Settings
from ..core.logging import set_up_logging
from ..core.problems import Problem
from ..tenants.registry import DATABASE_ERRORS
from ..tenants.service import Answer, TenantService, tenant_service
from .output import show

Work = Callable[[TenantService], Awaitable[Answer]]


def run(work: Work, as_json: bool) -> None:
    """Do `work` and show its answer. Exits with 1 if the answer has an `error`."""
    try:
        answer = asyncio.run(_with_service(work))
    except DATABASE_ERRORS as error:
        advice = "Check DATABASE_URL and that the database is up, and run `make migrate`."
        raise Problem("database", f"The database cannot be used ({type(error).__name__}). {advice}") from error
    show(answer, as_json)
    if "error" in answer:
        raise SystemExit(1)


async def _with_service(work: Work) -> Answer:
    settings = Settings()
    set_up_logging(development=settings.development)
    async with tenant_service(settings) as service:
        return await work(service)
