"""How the commands run: data on stdout, words on stderr; exit 0 done, 1 refused or faulty, 2 usage."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from ..core.config import Settings
from ..core.errors import NotOffered, TenantsError
from ..core.logging import set_up_logging
from ..tenants.onboarding import Onboarding, onboarding
from ..tenants.registry import DATABASE_ERRORS
from .output import fail, faults_of, show

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


async def _work(work: Work) -> Any:
    settings = Settings()
    set_up_logging(development=settings.development)
    async with onboarding(settings) as desk:
        return await work(desk)
