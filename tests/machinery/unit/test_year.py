"""A year of simulated time. `test_year.py` of the template runs it with 1,000 tenants."""

import asyncio
import os
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from {{ cookiecutter.__package }}.tenants.models import Tenant
from {{ cookiecutter.__package }}.tenants.periods import period_at
from {{ cookiecutter.__package }}.tenants.service import tenant_service

from .stories import Tell, World
from .test_renewals import USD, Killed, dying, move, renew_alone, resets

TENANTS = int(os.environ.get("TENANTS_OF_THE_YEAR", "12"))
ZONES = (
    *("UTC", "Europe/Berlin", "Europe/London", "America/New_York", "America/Santiago", "America/St_Johns"),
    *("Asia/Kolkata", "Asia/Tokyo", "Australia/Lord_Howe", "Pacific/Auckland", "Africa/Casablanca"),
    "Pacific/Kiritimati",
)
BEGIN = datetime(2027, 1, 15, 12, tzinfo=UTC)
END = BEGIN.replace(year=2028)
BUDGET, CREDIT = 10 * USD, 3 * USD


async def onboard(world: World, number: int) -> Tenant:
    """Add a tenant without the Cycles key that nobody uses here."""
    zone = ZONES[number % len(ZONES)]
    tenant = Tenant(
        id=f"year-{number:04}",
        name="Year",
        budget=BUDGET,
        period_budget=BUDGET,
        cycles_key_name="year",
        every="month",
        time_zone=zone,
        renews_at=period_at("month", zone, BEGIN).end,
        onboarded=True,
    )
    await world.services.registry.add(tenant)
    return tenant


@pytest.mark.timeout(3_600)  # a thousand tenants take a quarter of an hour
def test_a_year_resets_each_tenant_exactly_once_a_period(tell: Tell) -> None:
    async def story(world: World) -> None:
        dice = random.Random(29)  # noqa: S311
        tenants = [await onboard(world, number) for number in range(TENANTS)]
        async with tenant_service(world.services.settings, world.services.registry) as service:
            for tenant in tenants:
                if world.services.settings.root_of(tenant.id)["tenant"] == tenant.id:  # not a workspace
                    await service.admin.ensure_tenant(tenant.id, "Year")
                scope = world.services.settings.scope_of(tenant.id)
                await service.admin.create_ledger(scope, allocated=BUDGET + CREDIT, overdraft=0)
        move(world, BEGIN)
        world.cycles.requests.clear()
        starts = {tenant.id: period_starts(tenant) for tenant in tenants}
        assert {len(each) for each in starts.values()} == {12}
        kills = 0
        for now in sorted({start + timedelta(seconds=30) for each in starts.values() for start in each}):
            due = [tenant for tenant in tenants if now - timedelta(seconds=30) in starts[tenant.id]]
            for tenant in due:
                ledger = world.cycles.ledger(tenant.id)
                world.cycles.change(replace(ledger, spent=dice.randrange(1, BUDGET)))
            while await world.services.registry.tenants_to_renew(now):
                kills += await killed_at_random(world, now, dice, 45 * len(due))
            for tenant in due:
                ledger = world.cycles.ledger(tenant.id)
                assert (ledger.allocated, ledger.spent) == (BUDGET + CREDIT, 0), (tenant.id, now)
        assert len(resets(world)) == 12 * TENANTS
        assert kills > 40

    tell(story)


def period_starts(tenant: Tenant) -> list[datetime]:
    """Return when a tenant's periods of the year begin."""
    starts, end = [], period_at("month", tenant.time_zone, BEGIN).end
    while end <= END:
        starts.append(end)
        end = period_at("month", tenant.time_zone, end).end
    return starts


async def killed_at_random(world: World, now: datetime, dice: random.Random, lines: int) -> int:
    """Run one or two processes, which may be killed. Return how many were."""
    with dying(dice.randrange(1, lines)):
        runs = (renew_alone(world, now) for _ in range(dice.choice((1, 2))))
        ends = await asyncio.gather(*runs, return_exceptions=True)
    assert all(end is None or isinstance(end, Killed) for end in ends), ends
    return sum(isinstance(end, Killed) for end in ends)
