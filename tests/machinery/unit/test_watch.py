import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from {{ cookiecutter.__package }}.budget.balances import Balances, Ledger
from {{ cookiecutter.__package }}.core.errors import TenantsError
from {{ cookiecutter.__package }}.dashboard.records import HourlyBalance, Standing, TenantStanding
from {{ cookiecutter.__package }}.dashboard.sampler import standing_of
from {{ cookiecutter.__package }}.dashboard.store import DashboardStore
from {{ cookiecutter.__package }}.dashboard.watch import Watch
from {{ cookiecutter.__package }}.tenants.records import Tenant

from .stories import Opened

ACME = Tenant(id="acme", name="Acme", budget=1, cycles_key_name="k", onboarded=True, created_at=datetime.now(UTC))


def heard(seconds_ago: int) -> Standing:
    now = datetime.now(UTC)
    ledger = Ledger(scope="tenant:acme", allocated=9, spent=0, reserved=0, remaining=9, asked_at=time.monotonic())
    return standing_of("acme", ledger, now - timedelta(seconds=seconds_ago), None, int(now.timestamp()))


def listing(asked: list[str], locked: str = "") -> Balances:
    """Balances that note whose were asked for; no secret opens the key of `locked`."""

    async def ask(tenant: str) -> None:
        if tenant == locked:
            raise TenantsError("not_decryptable", "no secret opens it")
        asked.append(tenant)
        balances.listed(tenant, time.monotonic())

    balances = Balances(ask)
    return balances


@pytest.mark.parametrize(
    ("tenant", "seconds_ago", "times"),
    [
        pytest.param(ACME, 3600, 1, id="old figures"),
        pytest.param(ACME, 0, 0, id="young figures"),
        pytest.param(ACME, None, 2, id="once a worker what no worker has heard of"),
        pytest.param(replace(ACME, status="closed"), None, 0, id="closed"),
        pytest.param(replace(ACME, onboarded=False), None, 0, id="not set up"),
    ],
)
def test_stale_balances_are_read_once_for_all_viewers_of_two_workers(
    opened: Opened, tenant: Tenant, seconds_ago: int | None, times: int
) -> None:
    standing = None if seconds_ago is None else heard(seconds_ago)
    asked: list[str] = []

    async def look() -> None:
        async with opened() as (_, calls):
            store = DashboardStore(*vars(calls).values())
            if standing:
                await store.save([standing], [HourlyBalance(tenant="acme", hour=1, allocated=9, remaining=9)])
            workers = [Watch(listing(asked), store, interval=600) for _ in range(2)]
            await asyncio.gather(*(worker.refresh([TenantStanding(tenant, standing)]) for worker in workers * 5))

    asyncio.run(look())
    assert asked == ["acme"] * times


def test_tenant_whose_key_cannot_be_decrypted_does_not_hide_the_others(opened: Opened) -> None:
    asked: list[str] = []

    async def look() -> dict[str, str]:
        async with opened() as (_, calls):
            tenants = (TenantStanding(tenant, None) for tenant in (ACME, replace(ACME, id="globex")))
            store = DashboardStore(*vars(calls).values())
            return await Watch(listing(asked, "acme"), store, interval=600).refresh(tenants)

    assert asyncio.run(look()) == {"acme": "budget_misconfigured"}
    assert asked == ["globex"]
