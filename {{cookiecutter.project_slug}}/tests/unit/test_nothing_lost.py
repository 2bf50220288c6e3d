"""What is rare and costs money: holds that are gone, runs that meet, a tenant that fails beside one that does not."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from runcycles import CyclesResponse
from runcycles.journal import CommitJournal, PendingCommitRecord

from {{ cookiecutter.__package }}.budget.clients import TenantClient
from {{ cookiecutter.__package }}.budget.sdk import journal_folder
from {{ cookiecutter.__package }}.console import onboarding
from {{ cookiecutter.__package }}.llm.provider import Usage
from {{ cookiecutter.__package }}.problems import Problem
from {{ cookiecutter.__package }}.tenants.admin_api import AdminError
from {{ cookiecutter.__package }}.tenants.errors import TenantsError
from {{ cookiecutter.__package }}.tenants.records import Adjustment, Caller

from .embedded import until
from .stories import Tell, World
from .test_guard import COMPLETION, COST, WORK, charge_one


async def add_globex(world: World) -> None:
    async with onboarding(world.services.settings, world.services.registry) as desk:
        await desk.add("globex", "Globex", "1.00")


@pytest.mark.parametrize("how", ["lost by Cycles", "released by somebody"])
def test_a_call_whose_hold_is_gone_is_charged_as_an_event(tell: Tell, how: str) -> None:
    async def story(world: World) -> None:
        async with world.services.guard.hold(WORK) as hold:
            hold.add_completion(COMPLETION)
            (held,) = world.cycles.state.store.holds("status = 'ACTIVE'")
            if how == "lost by Cycles":
                world.cycles.state.store.delete("reservations")
                world.cycles.change(replace(world.cycles.ledger(), reserved=0))
            else:
                client = await world.services.clients.of("acme")
                await client.release_reservation(held.body["reservation_id"], {"idempotency_key": "x"})
        await until(lambda: world.cycles.ledger().spent == COST and not world.records)

    tell(story)


def test_what_an_overdraft_limit_refuses_is_charged_though_the_hold_could_not_be_read_at_first(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, read = [], TenantClient.get_reservation

    async def silent_twice(self: TenantClient, reservation_id: str) -> CyclesResponse:
        reads.append(reservation_id)
        if len(reads) <= 2:
            return CyclesResponse.transport_error(TimeoutError())
        return await read(self, reservation_id)

    async def story(world: World) -> None:
        monkeypatch.setattr(TenantClient, "get_reservation", silent_twice)
        async with world.services.guard.hold(WORK) as hold:
            hold.add(Usage(1, 100_000))
            world.cycles.change(replace(world.cycles.ledger(), overdraft_limit=1, allocated=hold.amount))
        await until(lambda: world.cycles.ledger().spent == hold.amount and not world.records)

    tell(story)


@pytest.mark.parametrize("tell", [{"BUDGET_FAIL_OPEN": "true", "BUDGET_FAIL_OPEN_LIMIT": "0.002"}], indirect=True)
def test_what_is_served_unguarded_is_bounded_while_a_neighbour_is_served(tell: Tell) -> None:
    async def story(world: World) -> None:
        await add_globex(world)
        served = 0
        for _ in range(20):
            world.cycles.fault("error", "reserve", times=2)
            with suppress(Problem):
                served += (await charge_one(world)).cost
            world.cycles.state.faults.clear()
            async with world.services.guard.hold(replace(WORK, caller=Caller("globex"))) as hold:
                hold.add_completion(COMPLETION)
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
            onboarding(services.settings, services.registry) as one,
            onboarding(services.settings, services.registry) as other,
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
            reference="fund:R", tenant="acme", kind="fund", amount=100_000_000, idempotency_key="k", created_at=begun
        )
        assert await services.registry.add_adjustment(wanted)
        async with onboarding(services.settings, services.registry) as desk:
            with pytest.raises(TenantsError, match="Cycles cannot tell any more"):
                await desk.fund("acme", "1.00", "R")
        assert world.cycles.ledger().allocated == 100_000_000

    tell(story)


def test_a_journal_that_cannot_be_replayed_keeps_no_other_one_waiting(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: World) -> None:
        await add_globex(world)
        settings, clients = world.services.settings, world.services.clients
        event = {
            "idempotency_key": "k",
            "subject": settings.root_of("globex"),
            "action": {"kind": "llm.completion", "name": "m"},
            "actual": {"unit": "USD_MICROCENTS", "amount": 7},
        }
        for tenant in ("acme", "globex"):
            root = settings.root_of(tenant)["tenant"]
            folder = settings.cycles_journal_dir / journal_folder(settings.cycles_base_url, root)
            entry = PendingCommitRecord(f"r-{tenant}", settings.cycles_base_url, "event", None, event)
            CommitJournal(folder).record(entry)
        of = clients.of

        async def broken_for_acme(tenant: str) -> TenantClient:
            if tenant == "acme":
                raise RuntimeError("no secret opens this key")
            return await of(tenant)

        monkeypatch.setattr(clients, "of", broken_for_acme)
        await world.services.journal.settle(0.0)
        assert not any("r-globex" in record.read_text() for record in world.records)

    tell(story)
