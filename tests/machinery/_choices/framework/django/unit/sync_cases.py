"""Cases of test_sync.py, each run in a process of its own: `python -m tests.unit.sync_cases CASE ARGUMENT`.

A case prints its result as JSON.
"""

import asyncio
import json
import multiprocessing
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "{{ cookiecutter.__package }}.settings"
django.setup()

from django.db import transaction  # noqa: E402

from {{ cookiecutter.__package }}.budget.hold import Hold, Work  # noqa: E402
from {{ cookiecutter.__package }}.chat.schemas import SummarizeRequest  # noqa: E402
from {{ cookiecutter.__package }}.chat.service import complete, summary_of  # noqa: E402
from {{ cookiecutter.__package }}.core.problems import Problem  # noqa: E402
from {{ cookiecutter.__package }}.llm.provider import Delta, ProviderError, Usage  # noqa: E402
from {{ cookiecutter.__package }}.settings import ENV  # noqa: E402
from {{ cookiecutter.__package }}.web import sync  # noqa: E402
from {{ cookiecutter.__package }}.web.services import Services  # noqa: E402


def work_for(tenant: str) -> Work:
    return summary_of(ENV, tenant, SummarizeRequest(text="A long text about budgets."))


def settles(tenant: str) -> int:
    """Make a whole call and return its cost."""
    with sync.hold(work_for(tenant)) as hold:
        use(hold)
    return hold.call.cost


def use(hold: Hold) -> None:
    sync.call(lambda services: hold.complete(services.provider))


def summarizes(tenant: str) -> int:
    answer, _ = sync.call(lambda services: complete(services, work_for(tenant)))
    return answer.cost.amount


def fails_midway(tenant: str) -> int:
    try:
        with sync.hold(work_for(tenant)) as hold:
            hold.meter.add(Delta("Half an answer"))
            raise LookupError
    except LookupError:
        return hold.call.cost


def fails_at_once(tenant: str) -> int:
    try:
        with sync.hold(work_for(tenant)) as hold:
            raise LookupError
    except LookupError:
        return hold.call.cost


def provider_fails(tenant: str) -> str:
    try:
        with sync.hold(work_for(tenant)) as hold:
            hold.meter.add(Usage(10, 5))
            raise ProviderError("failed", "the provider broke off")
    except Problem as problem:
        return problem.code


def is_refused(tenant: str) -> dict[str, Any]:
    try:
        with sync.hold(work_for(tenant)):
            raise AssertionError("the body must not run")
    except Problem as problem:
        return problem.body("")


def hold_is_released_elsewhere(tenant: str) -> int:
    async def release(services: Services) -> None:
        client = await services.clients.of(tenant)
        rows = await client.list_reservations(status="ACTIVE", **ENV.root_of(tenant))
        (held,) = rows.get_body_attribute("reservations")
        await client.release_reservation(held["reservation_id"], {"idempotency_key": "theirs"})

    with sync.hold(work_for(tenant)) as hold:
        use(hold)
        sync.call(release)
    return hold.call.cost


def in_transaction(tenant: str) -> int:
    with transaction.atomic():
        return settles(tenant) + summarizes(tenant)


def in_threads(tenant: str) -> int:
    with ThreadPoolExecutor() as threads:
        return sum(threads.map(settles, [tenant] * 4))


def in_event_loop(tenant: str) -> list[str]:
    """Call from the loop that the guard runs in, and return what each form raises."""

    async def nested(_: Services) -> list[str]:
        raised = []
        for form in (settles, summarizes):
            try:
                form(tenant)
            except RuntimeError as error:
                raised.append(type(error).__name__)
        return raised

    return sync.call(nested)


def in_another_event_loop(tenant: str) -> int:
    """Call from a coroutine of a loop of its own, as a notebook or an asynchronous command has."""

    async def main() -> int:
        return settles(tenant)

    return asyncio.run(main())


def forks(tenant: str) -> list[int]:
    """Return the costs of a call of each forked worker, and of one of this process."""
    with multiprocessing.get_context("fork").Pool(2) as workers:
        tasks = [workers.apply_async(settles, [tenant]) for _ in range(2)]
        return [*(each.get(timeout=30) for each in tasks), settles(tenant)]


def forks_late(tenant: str) -> tuple[int, str]:
    """Return the cost of this process's call, and the exception of a worker that it then forks."""
    cost = settles(tenant)
    with multiprocessing.get_context("fork").Pool(1) as workers:
        try:
            workers.apply(settles, [tenant])
        except RuntimeError as error:
            return cost, type(error).__name__
    return cost, ""


if __name__ == "__main__":
    sys.stdout.write(json.dumps(globals()[sys.argv[1]](sys.argv[2])))
