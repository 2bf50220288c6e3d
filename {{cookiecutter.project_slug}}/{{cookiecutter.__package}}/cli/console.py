"""Runs commands that need the tenant service."""

import asyncio
import getpass
import inspect
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from ..core.config import Settings
from ..core.logging import set_up_logging
from ..core.problems import Problem
from ..dashboard.audit import audited
from ..tenants.registry import DATABASE_ERRORS, open_registry
from ..tenants.service import Output, Verb, tenant_service
from .output import show

READING = ("list_all", "list_budgets", "list_keys", "list_operators", "report", "housekeeping")
"""Names of verbs that are not audited."""
AUDITED = ("credit", "budget", "period", "every", "end_user", "agent", "key_id", "operator")
"""Options whose values the audit log shows. The URLs of alerts have secrets."""


def run(*, verb: Verb, as_json: bool, **options: Any) -> None:
    """Call a verb with the tenant service, or its registry, and with the options that it takes. Show its answer.

    Exits with 1 if the answer has an `error`.
    """
    parameters = inspect.signature(verb).parameters
    given = {name: options[name] for name in parameters if name in options}

    async def answer_of(settings: Settings) -> Output:
        async with open_registry(settings.database_url) as registry, tenant_service(settings, registry) as service:
            work = partial(verb, registry if "registry" in parameters else service, **given)
            if verb.__name__ in READING:
                return await work()
            return await audited(registry, _actor(), _action(verb, given), given.get("tenant_id") or "", work)

    settings = Settings()
    set_up_logging(development=settings.development)
    with database_problems():
        answer = asyncio.run(answer_of(settings))
    show(answer, as_json)
    if "error" in answer:
        raise SystemExit(1)


@contextmanager
def database_problems() -> Iterator[None]:
    """Raise Problem for an error of the database."""
    try:
        yield
    except DATABASE_ERRORS as error:
        advice = "Check DATABASE_URL and that the database is up, and run `make migrate`."
        raise Problem("database", f"The database cannot be used ({type(error).__name__}). {advice}") from error


def _actor() -> str:
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):  # a user ID without a name, as in containers
        return f"cli:{os.getuid()}"


def _action(verb: Verb, given: Mapping[str, Any]) -> str:
    """Return the name of a verb with the values of AUDITED that are not its defaults."""
    defaults = inspect.signature(verb).parameters
    values = [given[name] for name in AUDITED if name in given and given[name] != defaults[name].default]
    return " ".join([verb.__name__.replace("_", " "), *values])
