"""The running sweeper: when it sends, how much at once, and after a sweep that failed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from {{ cookiecutter.__package }}.budget import sweeper
from {{ cookiecutter.__package }}.core.breaker import THRESHOLD

from .embedded import until
from .stories import Tell, World
from .workers import booking


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "SWEEP_EVERY_S", 0.01)


@asynccontextmanager
async def running_sweeper(world: World) -> AsyncIterator[None]:
    running = asyncio.create_task(world.services.sweeper.run())
    yield
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])


def open_breaker(world: World) -> None:
    for _ in range(THRESHOLD):
        world.services.clients.breaker.failed()


@pytest.mark.parametrize("tell", [{"CYCLES_RETRY_INITIAL_DELAY": "10"}], indirect=True, ids=[""])
def test_sweeper_sends_what_is_due_and_at_the_start_what_is_postponed(tell: Tell) -> None:
    async def story(world: World) -> None:
        services = world.services
        services.outbox.add(left := booking(services.settings, "left by another process"))
        services.outbox.postpone(left)
        async with running_sweeper(world):
            await until(lambda: world.cycles.ledger().spent == 1)
            services.outbox.add(booking(services.settings, "due"), due_now=True)
            await until(lambda: world.cycles.ledger().spent == 2)
            services.outbox.add(later := booking(services.settings, "not due"))
            services.outbox.postpone(later)
            await asyncio.sleep(0.03)
            assert world.cycles.ledger().spent == 2

    tell(story)


def test_sweeper_sends_a_few_settlements_of_a_tenant_at_once(tell: Tell) -> None:
    async def story(world: World) -> None:
        for number in range(2 * sweeper.PER_TENANT):
            world.services.outbox.add(booking(world.services.settings, str(number)), due_now=True)
        world.cycles.fault("delay", "event", delay_ms=100, times=100)
        async with running_sweeper(world):
            await until(lambda: len(world.cycles.sent("events")) == sweeper.PER_TENANT)
            await asyncio.sleep(0.04)
            assert len(world.cycles.sent("events")) == sweeper.PER_TENANT
            await until(lambda: not world.outbox)

    tell(story)


def test_settlement_stays_due_while_cycles_is_out_of_reach(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.services.outbox.add(booking(world.services.settings, "key"), due_now=True)
        open_breaker(world)
        await world.services.sweeper.sweep()
        assert (world.cycles.sent("events"), world.services.outbox.due_tenants()) == ([], ["acme"])

    tell(story)


def test_sweep_that_fails_is_logged_and_the_next_one_sends(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("out of memory")

    async def story(world: World) -> None:
        world.services.outbox.add(booking(world.services.settings, "key"), due_now=True)
        world.cycles.fault("error", "event")
        with monkeypatch.context() as patch, capture_logs() as logs:
            patch.setattr(world.services.outbox, "delay_tenant", broken)
            await world.sweep()
        told = {"event": "sweep failed, trying again", "tenant": "acme", "exc_info": True, "log_level": "error"}
        assert logs[-1] == told
        await world.sweep()
        assert (world.cycles.ledger().spent, world.outbox) == (1, [])

    tell(story)
