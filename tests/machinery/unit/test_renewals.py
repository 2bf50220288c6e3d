"""Recurring budgets over an emulator whose clock moves with ours. A kill is an exception at any line of our code."""

import asyncio
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import pytest

from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.tenants import adjustments, renewals
from {{ cookiecutter.__package }}.tenants.models import Tenant
from {{ cookiecutter.__package }}.tenants.periods import period_at
from {{ cookiecutter.__package }}.tenants.service import tenant_service
from {{ cookiecutter.__package }}.web.housekeeping import Housekeeping

from .stories import Tell, World
from .test_guard import WORK

USD = 100_000_000
OURS = (renewals.__file__, adjustments.__file__)


class Killed(BaseException):
    """Stands for kill -9."""


@contextmanager
def dying(line: int, modules: Sequence[str | None] = OURS) -> Iterator[None]:
    """Raise Killed instead of the n-th line that these modules run."""
    left = line

    def count(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in modules:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise Killed
        return count

    previous = sys.gettrace()
    sys.settrace(count)
    try:
        yield
    finally:
        sys.settrace(previous)


async def tenant_of(world: World) -> Tenant:
    tenant = await world.services.registry.tenant("acme")
    assert tenant is not None
    return tenant


def move(world: World, to: datetime) -> None:
    """Set the emulator's clock: what it remembers depends on it."""
    clock = world.cycles.state.clock
    clock.offset_ms += max(0, int(to.timestamp() * 1000) - clock.now_ms())


async def recurring(world: World, every: str = "month", budget: str = "25.00") -> datetime:
    """Give acme a recurring budget that has begun, and return when it renews."""
    async with tenant_service(world.services.settings, world.services.registry) as service:
        await service.reset("acme", budget)
        await service.update("acme", budget, every, "Europe/Berlin")
    renews_at = (await tenant_of(world)).renews_at
    assert renews_at is not None
    return renews_at


def spend(world: World, amount: int, debt: int = 0) -> None:
    world.cycles.change(replace(world.cycles.ledger(), spent=amount, debt=debt, overdraft_limit=USD))


async def renew(world: World, now: datetime) -> list[str]:
    move(world, now)
    return await Housekeeping(world.services.settings, world.services.registry).once(now)


def resets(world: World) -> set[str]:
    """Return the idempotency keys of the resets that Cycles received."""
    return {body["idempotency_key"] for _, body in world.cycles.requests if body.get("operation") == "RESET_SPENT"}


def alerts(world: World) -> list[str]:
    """Return the IDs of all alerts."""
    path = world.environment["DATABASE_URL"].removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as database:
        return [name for (name,) in database.execute("SELECT id FROM alerts")]


def test_budget_renews_and_a_top_up_of_the_30th_is_there_on_the_1st(tell: Tell) -> None:
    async def story(world: World) -> None:
        renews_at = await recurring(world)
        async with tenant_service(world.services.settings, world.services.registry) as service:
            await service.fund("acme", "10.00", "payment-1")
        async with world.services.guard.hold(WORK):
            spend(world, 28 * USD, debt=USD // 2)
            reserved = world.cycles.ledger().reserved
            assert await renew(world, renews_at - timedelta(seconds=1)) == []
            assert world.cycles.ledger().spent == 28 * USD, "not yet"
            assert await renew(world, renews_at) == []
            ledger = world.cycles.ledger()
            assert (ledger.allocated, ledger.spent, ledger.debt) == (32 * USD, 0, USD // 2)
            assert ledger.reserved == reserved > 0
        assert await renew(world, renews_at + timedelta(hours=1)) == []
        assert world.cycles.ledger().allocated == 32 * USD
        assert ((await tenant_of(world)).renews_at or renews_at) > renews_at + timedelta(days=27)

    tell(story)


def test_unspent_budget_expires_and_the_credit_is_kept_whole(tell: Tell) -> None:
    async def story(world: World) -> None:
        renews_at = await recurring(world)
        async with tenant_service(world.services.settings, world.services.registry) as service:
            await service.fund("acme", "10.00")
        spend(world, 5 * USD)
        await renew(world, renews_at)
        assert world.cycles.ledger().allocated == 35 * USD
        spend(world, 30 * USD)
        await renew(world, (await tenant_of(world)).renews_at or renews_at)
        assert world.cycles.ledger().allocated == 30 * USD

    tell(story)


def test_another_budget_acts_from_the_next_period(tell: Tell) -> None:
    async def story(world: World) -> None:
        renews_at = await recurring(world)
        async with tenant_service(world.services.settings, world.services.registry) as service:
            await service.update("acme", "50.00")
            assert world.cycles.ledger().allocated == 25 * USD
            await renew(world, renews_at)
            assert world.cycles.ledger().allocated == 50 * USD
            await service.update("acme", "10.00")
            await renew(world, (await tenant_of(world)).renews_at or renews_at)
        assert world.cycles.ledger().allocated == 10 * USD, "the larger budget is no credit"

    tell(story)


def test_an_outage_of_months_is_caught_up_once(tell: Tell) -> None:
    async def story(world: World) -> None:
        renews_at = await recurring(world, "day")
        before = resets(world)
        await renew(world, renews_at + timedelta(days=100))
        await renew(world, renews_at + timedelta(days=100, hours=1))
        assert len(resets(world) - before) == 1

    tell(story)


def test_a_suspended_tenant_is_renewed_when_it_is_resumed(tell: Tell) -> None:
    async def story(world: World) -> None:
        renews_at = await recurring(world)
        spend(world, USD)
        async with tenant_service(world.services.settings, world.services.registry) as service:
            await service.suspend("acme")
            assert await renew(world, renews_at) == []
            assert world.cycles.ledger().spent == USD
            await service.resume("acme")
        await renew(world, renews_at + timedelta(days=3))
        assert world.cycles.ledger().spent == 0

    tell(story)


def test_a_period_reset_by_hand_is_not_renewed_too(tell: Tell) -> None:
    async def story(world: World) -> None:
        renews_at = await recurring(world)
        period = f"{renews_at + timedelta(hours=2):%Y-%m}"
        async with tenant_service(world.services.settings, world.services.registry) as service:
            await service.reset("acme", "7.00", period)
            spend(world, USD)
            await renew(world, renews_at)
            assert (world.cycles.ledger().allocated, world.cycles.ledger().spent) == (7 * USD, USD)

    tell(story)


@pytest.mark.parametrize("late", [timedelta(seconds=1), timedelta(hours=22)])
def test_killed_at_any_line_it_renews_once_and_keeps_a_top_up_that_comes_between(tell: Tell, late: timedelta) -> None:
    async def story(world: World) -> None:
        renews_at, line, survived = await recurring(world, "day"), 0, False
        while not survived:
            line += 1
            before, credit = resets(world), unspent(world)
            with dying(line):
                try:
                    await renew_alone(world, renews_at)
                    survived = True
                except Killed:
                    pass
            # a payment between the kill and the next run
            async with tenant_service(world.services.settings, world.services.registry) as service:
                await service.fund("acme", "1.00", f"payment-{line}")
            move(world, renews_at + late)
            await asyncio.gather(*(renew_alone(world, renews_at + late) for _ in range(3)))
            ledger, tenant = world.cycles.ledger(), await tenant_of(world)
            assert len(resets(world) - before) <= 1, line
            assert (ledger.allocated, ledger.spent) == (25 * USD + credit + USD, 0), line
            assert tenant.renews_at is not None
            assert tenant.renews_at > renews_at, line
            assert tenant.period_budget == 25 * USD, line
            spend(world, 25 * USD + USD // 4)  # the budget, and a part of the credit
            renews_at = tenant.renews_at
        assert line > 20
        assert alerts(world) == []

    tell(story)


def unspent(world: World) -> int:
    ledger = world.cycles.ledger()
    return max(0, min(ledger.allocated - ledger.spent, ledger.allocated - 25 * USD))


async def renew_alone(world: World, now: datetime) -> None:
    move(world, now)
    async with tenant_service(world.services.settings, world.services.registry) as service:
        await renewals.renew_all(service.adjustments, now)


def test_what_was_sent_but_not_confirmed_for_23_hours_is_never_sent_again(tell: Tell) -> None:
    async def story(world: World) -> None:
        renews_at = await recurring(world)
        world.cycles.replaced["fund"] = (500, "")
        assert await renew(world, renews_at) == ["manage_tenants"]
        sent = len(world.cycles.requests)
        assert await renew(world, renews_at + timedelta(hours=23, minutes=1)) == []
        assert not [body for _, body in world.cycles.requests[sent:] if "operation" in body]
        (alert,) = alerts(world)
        assert alert.startswith("renewal:acme:")
        following = (await tenant_of(world)).renews_at or renews_at
        spend(world, USD)
        assert await renew(world, following) == []
        assert world.cycles.ledger().spent == 0, "the next period begins as usual"

    tell(story)


def test_a_lost_answer_is_asked_for_again(tell: Tell) -> None:
    async def story(world: World) -> None:
        renews_at = await recurring(world)
        spend(world, USD)
        world.cycles.replaced["fund"] = (500, "")
        assert await renew(world, renews_at) == ["manage_tenants"]
        spend(world, 3 * USD)
        assert await renew(world, renews_at + timedelta(hours=22)) == []
        assert world.cycles.ledger().spent == 3 * USD, "spent after the reset that was applied"

    tell(story)


def test_a_refused_renewal_is_an_alert_and_delays_nobody(tell: Tell) -> None:
    async def story(world: World) -> None:
        renews_at = await recurring(world)
        world.cycles.change(replace(world.cycles.ledger(), status="FROZEN"))
        async with tenant_service(world.services.settings, world.services.registry) as service:
            await service.add("globex", "Globex", "1.00", None, "month", "Europe/Berlin")
        assert await renew(world, renews_at) == []
        assert [alert.split(":")[:2] for alert in alerts(world)] == [["renewal", "acme"]]
        globex = await world.services.registry.tenant("globex")
        assert globex is not None
        assert globex.renews_at is not None
        assert globex.renews_at > renews_at
        world.cycles.change(replace(world.cycles.ledger(), status="ACTIVE", spent=1))
        assert await renew(world, renews_at + timedelta(days=2)) == []
        assert world.cycles.ledger().spent == 0

    tell(story)


def test_the_schedule_of_a_suspended_tenant_changes_and_what_is_due_waits_until_it_is_resumed(tell: Tell) -> None:
    async def story(world: World) -> None:
        await recurring(world)
        async with tenant_service(world.services.settings, world.services.registry) as service:
            await service.suspend("acme")
            await world.services.registry.update_tenant("acme", renews_at=datetime.now(UTC))
            await service.update("acme", timezone="Asia/Tokyo")
            renews_at = (await tenant_of(world)).renews_at
            assert renews_at is not None
            assert renews_at <= datetime.now(UTC)
            await service.update("acme", every="none")
            assert (await tenant_of(world)).renews_at is None

    tell(story)


def test_another_time_zone_neither_skips_a_period_nor_begins_it_twice(tell: Tell) -> None:
    async def story(world: World) -> None:
        await recurring(world)
        async with tenant_service(world.services.settings, world.services.registry) as service:
            first = (await tenant_of(world)).renews_at
            for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
                await service.update("acme", timezone=zone)
                renews_at = (await tenant_of(world)).renews_at
                assert first is not None
                assert renews_at is not None
                assert renews_at <= first + timedelta(hours=25)
            assert renews_at == period_at("month", zone, datetime.now(UTC)).end, "not when it renews elsewhere"
            with suppress(Problem):
                await service.update("acme", every="never")
            await service.update("acme", every="none")
            assert (await tenant_of(world)).renews_at is None

    tell(story)
