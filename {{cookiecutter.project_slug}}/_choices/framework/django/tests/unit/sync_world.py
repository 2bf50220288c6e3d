"""What test_guard_sync.py runs in processes of their own: `python -m tests.unit.sync_world WHAT TENANT`.

Prints JSON: what came out.
"""

import json
import multiprocessing
import os
import sys
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "{{ cookiecutter.__package }}.django_settings"
django.setup()

from django.test import Client  # noqa: E402

from {{ cookiecutter.__package }}.budget import guard_sync  # noqa: E402
from {{ cookiecutter.__package }}.budget.guard import Work  # noqa: E402
from {{ cookiecutter.__package }}.chat.service_sync import complete, summarize, summary_of  # noqa: E402
from {{ cookiecutter.__package }}.django_settings import ENV  # noqa: E402
from {{ cookiecutter.__package }}.llm.provider import Delta, ProviderError, Usage  # noqa: E402
from {{ cookiecutter.__package }}.problems import Problem  # noqa: E402
from {{ cookiecutter.__package }}.tenants.records import Caller  # noqa: E402


def work_for(tenant: str) -> Work:
    return summary_of(Caller(tenant), "A long text about budgets.")


def settles(tenant: str) -> int:
    """A whole call: its cost."""
    with guard_sync.hold(work_for(tenant)) as hold:
        completion = complete(hold.request)
        hold.add_completion(completion)
    return hold.cost


def overruns(tenant: str) -> int:
    """A call that used ten times what the tenant has: its cost, as far as it is known when it ends."""
    with guard_sync.hold(work_for(tenant)) as hold:
        hold.add(Usage(2_000_000, 0))
    return hold.cost


def fails_midway(tenant: str) -> int:
    try:
        with guard_sync.hold(work_for(tenant)) as hold:
            hold.add(Delta("Half an answer"))
            raise LookupError
    except LookupError:
        return hold.cost


def fails_at_once(tenant: str) -> int:
    try:
        with guard_sync.hold(work_for(tenant)) as hold:
            raise LookupError
    except LookupError:
        return hold.cost


def provider_fails(tenant: str) -> str:
    try:
        with guard_sync.hold(work_for(tenant)):
            raise ProviderError("failed", "the provider broke off", Usage(10, 5))
    except Problem as problem:
        return problem.code


def is_refused(tenant: str) -> dict[str, Any]:
    try:
        with guard_sync.hold(work_for(tenant)):
            raise AssertionError("the body must not run")
    except Problem as problem:
        return problem.body("")


def hold_is_taken_away(tenant: str) -> int:
    """A call whose hold somebody else releases meanwhile: its cost."""
    other = guard_sync.SyncClient(tenant)
    with guard_sync.hold(work_for(tenant)) as hold:
        hold.add_completion(complete(hold.request))
        (held,) = other.list_reservations(status="ACTIVE", **ENV.root_of(tenant)).get_body_attribute("reservations")
        other.release_reservation(held["reservation_id"], {"idempotency_key": "theirs"})
    return hold.cost


def forks(tenant: str) -> list[int]:
    """The costs of three calls: one of this process, and one of each worker that it has forked afterwards."""
    costs = [summarize(work_for(tenant)).cost.amount]
    with multiprocessing.get_context("fork").Pool(2) as workers:
        tasks = [workers.apply_async(task, [tenant]) for _ in range(2)]
        return costs + [each.get(timeout=30) for each in tasks]


def task(tenant: str) -> int:
    return summarize(work_for(tenant)).cost.amount


def under_wsgi(headers: str) -> list[int]:
    """The statuses of the synchronous view and of an asynchronous one, by Django's WSGI handler."""
    client = Client(raise_request_exception=False, headers=json.loads(headers), SERVER_NAME="localhost")
    paths = ("/api/sync/summarize", "/api/sync/summarize", "/api/summarize")
    return [client.post(path, {"text": "Hello"}, content_type="application/json").status_code for path in paths]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(globals()[sys.argv[1]](sys.argv[2])))
