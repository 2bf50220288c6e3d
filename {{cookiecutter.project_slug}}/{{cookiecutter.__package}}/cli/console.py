"""How the commands run: data on stdout, words on stderr; exit 0 done, 1 refused or faulty, 2 usage."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from ..core.logging import set_up_logging
from .output import fail, faults_of, show
from ..core.config import Settings
from ..tenants.admin_api import AdminApi
from ..tenants.errors import NotOffered, TenantsError
from ..tenants.onboarding import Onboarding
from ..tenants.registry import DATABASE_ERRORS, Registry, open_registry

Work = Callable[[Onboarding], Awaitable[Any]]
"""What a command does, given the verbs: it answers a dict or a dataclass."""


def run(work: Work, as_json: bool) -> None:
    """Do `work` and show its answer (`note` on stderr). Exit 1 if it is refused, or answers an `error`."""
    try:
        done = asyncio.run(_work(work))
    except TenantsError as error:
        fail(error.code, str(error), as_json, 2 if isinstance(error, NotOffered) else 1)
    except ValidationError as error:
        fail("invalid", faults_of(error), as_json)
    except DATABASE_ERRORS as error:
        detail = "is DATABASE_URL right, the database up, and did `make migrate` run?"
        fail("database", f"The database cannot be used ({type(error).__name__}): {detail}", as_json)
    answer: dict[str, Any] = done if isinstance(done, dict) else asdict(done)
    show(answer, as_json)
    if "error" in answer:
        raise SystemExit(1)


@asynccontextmanager
async def onboarding(settings: Settings, registry: Registry | None = None) -> AsyncIterator[Onboarding]:
    """The verbs over this process's database, and over Cycles' control plane where the settings name it."""
    async with AsyncExitStack() as stack:
        if registry is None:
            registry = await stack.enter_async_context(open_registry(settings.database_url))
        admin = None
        if settings.cycles_admin_url and settings.cycles_admin_api_key:
            api = AdminApi(settings.cycles_admin_url, settings.cycles_admin_api_key)
            admin = await stack.enter_async_context(api)
        yield Onboarding(settings, registry, admin)


async def _work(work: Work) -> Any:
    settings = Settings()
    set_up_logging(development=settings.development)
    async with onboarding(settings) as desk:
        return await work(desk)
