"""What is rare and costs money: holds that are gone, runs that meet, a tenant that fails beside one that does not."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from {{ cookiecutter.__package }}.budget.client import TenantClient
from {{ cookiecutter.__package }}.budget.outbox import Settlement
from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.llm.provider import Usage
from {{ cookiecutter.__package }}.tenants.admin_api import AdminError
from {{ cookiecutter.__package }}.tenants.models import Adjustment
from {{ cookiecutter.__package }}.tenants.service import tenant_service

from .stories import Tell, World
from .test_guard import COST, HOLD, USED, WORK, charge_one


async def add_globex(world: World) -> None:
    async with tenant_service(world.services.settings, world.services.registry) as service:
        await service.add("globex", "Globex", "1.00")


@pytest.mark.parametrize("how", ["lost by Cycles", "released by somebody"])
def test_a_call_whose_hold_is_gone_is_charged_as_an_event(tell: Tell, how: str) -> None:
    async def story(world: World) -> None:
        async with world.services.guard.hold(WORK) as hold:
            hold.meter.add(USED)
            (held,) = world.cycles.state.store.holds("status = 'ACTIVE'")
            if how == "lost by Cycles":
                world.cycles.state.store.delete("reservations")
                world.cycles.change(replace(world.cycles.ledger(), reserved=0))
            else:
                client = await world.services.clients.of("acme")
                await client.release_reservation(held.body["reservation_id"], {"idempotency_key": "x"})
        assert (world.cycles.ledger().spent, world.outbox) == (COST, [])

    tell(story)


def test_commit_beyond_the_overdraft_limit_charges_the_hold_once_though_its_answer_is_lost(tell: Tell) -> None:
    async def story(world: World) -> None:
        async with world.services.guard.hold(WORK) as hold:
            hold.meter.add(Usage(1, 100_000))
            world.cycles.change(replace(world.cycles.ledger(), overdraft_limit=1, allocated=HOLD))
            world.cycles.fault("delay", "commit", delay_ms=0)  # the first is refused
            world.cycles.fault("drop_after", "commit")
        assert world.outbox[0]["capped"], "written down before it is sent"
        await world.settled()
        assert (world.cycles.ledger().spent, world.cycles.ledger().debt) == (HOLD, 0)

    tell(story)


@pytest.mark.parametrize("tell", [{"BUDGET_FAIL_OPEN": "true", "BUDGET_FAIL_OPEN_LIMIT": "0.002"}], indirect=True)
def test_what_is_served_unguarded_is_bounded_while_a_neighbour_is_served(tell: Tell) -> None:
    async def story(world: World) -> None:
        await add_globex(world)
        served = 0
        for _ in range(20):
            world.cycles.fault("error", "reserve", times=2)
            with suppress(Problem):
                served += (await charge_one(world)).call.cost
            world.cycles.state.faults.clear()
            async with world.services.guard.hold(replace(WORK, tenant="globex")) as hold:
                hold.meter.add(USED)
        assert 0 < served <= 200_000

    tell(story)


def test_the_breaker_stays_open_while_cycles_itself_says_that_it_is_not_ready(tell: Tell) -> None:
    async def story(world: World) -> None:
        world.cycles.fault("unauthorized", "any", times=1000)  # as without its Redis
        breaker = world.services.clients.breaker
        while not breaker.is_open:
            with pytest.raises(Problem, match="budget_unavailable"):
                await charge_one(world)
        assert (await world.services.readiness.checks())["cycles"] == "not ready"
        assert breaker.is_open

    tell(story)


def test_a_reference_credits_once_though_one_of_two_runs_at_once_finds_nobody(tell: Tell) -> None:
    async def story(world: World) -> None:
        services, begun, credited = world.services, asyncio.Event(), asyncio.Event()

        async def unreachable(*_: object) -> int:
            begun.set()
            await credited.wait()
            raise AdminError("admin_unreachable", 0, "nobody there")

        async with (
            tenant_service(services.settings, services.registry) as one,
            tenant_service(services.settings, services.registry) as other,
        ):
            out_of_luck: Any = one.admin
            out_of_luck.fund = unreachable
            first = asyncio.create_task(one.fund("acme", "1.00", "R"))
            await begun.wait()
            await other.fund("acme", "1.00", "R")
            credited.set()
            await asyncio.wait([first])
            assert isinstance(first.exception(), AdminError)
            await other.fund("acme", "1.00", "R")
        assert world.cycles.ledger().allocated == 200_000_000

    tell(story)


def test_a_reference_that_was_begun_in_the_future_is_a_persons_to_decide(tell: Tell) -> None:
    async def story(world: World) -> None:
        services = world.services
        begun = datetime.now(UTC) + timedelta(days=1)  # by a clock that was ahead: nobody knows how long ago
        wanted = Adjustment(
            reference="fund:R", tenant_id="acme", amount=100_000_000, idempotency_key="k", created_at=begun
        )
        assert await services.registry.add(wanted)
        async with tenant_service(services.settings, services.registry) as service:
            with pytest.raises(Problem, match="outcome_unknown"):
                await service.fund("acme", "1.00", "R")
        assert world.cycles.ledger().allocated == 100_000_000

    tell(story)


@pytest.mark.parametrize("tell", [{"CYCLES_RETRY_INITIAL_DELAY": "60", "CYCLES_RETRY_MAX_DELAY": "60"}], indirect=True)
def test_settlements_that_fail_for_one_tenant_do_not_delay_another(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: World) -> None:
        await add_globex(world)
        settings, clients = world.services.settings, world.services.clients
        for tenant in ("acme", "globex"):
            for number in range(7):
                body = {
                    "idempotency_key": f"{tenant}-{number}",
                    "subject": settings.root_of(tenant),
                    "action": {"kind": "llm.completion", "name": "m"},
                    "actual": {"unit": "USD_MICROCENTS", "amount": 1},
                }
                world.services.outbox.add(Settlement(tenant=tenant, body=body), due_now=True)
        of = clients.of

        async def broken_for_acme(tenant: str) -> TenantClient:
            if tenant == "acme":
                raise RuntimeError("no secret opens this key")
            return await of(tenant)

        monkeypatch.setattr(clients, "of", broken_for_acme)
        await world.services.sweeper.sweep()
        assert [settlement["tenant"] for settlement in world.outbox] == ["acme"] * 7
        assert world.cycles.ledger("globex").spent == 7
        assert world.services.outbox.due_tenants() == [], "acme's later ones wait for the first"

    tell(story)
