"""A tenant's own Cycles key: rotated, missing, or encrypted with a secret that is gone."""

import pytest
from structlog.testing import capture_logs

from {{ cookiecutter.__package }}.budget import client as client_module
from {{ cookiecutter.__package }}.budget.client import Clients
from {{ cookiecutter.__package }}.core.metrics import UPSTREAM
from {{ cookiecutter.__package }}.core.problems import Problem
from {{ cookiecutter.__package }}.tenants.service import tenant_service

from .stories import Tell, World, value_of
from .test_client import event
from .test_guard import COST, charge_one


def test_rotated_key_is_read_again_and_a_revoked_one_is_refused(tell: Tell) -> None:
    async def story(world: World) -> None:
        services = world.services
        await charge_one(world)
        async with tenant_service(services.settings, services.registry) as service:
            await service.rotate("acme", now=True)
        client = await services.clients.of("acme")
        assert (await client.release_reservation("none", {"idempotency_key": "x"})).status == 404
        await charge_one(world)
        assert world.cycles.ledger().spent == 2 * COST
        world.cycles.state.store.delete("api_keys")
        sent = value_of(UPSTREAM)
        for _ in range(5):
            with pytest.raises(Problem, match="budget_misconfigured"):
                await charge_one(world)
        assert value_of(UPSTREAM) - sent == 5
        assert not services.clients.breaker.is_open, "it is nobody else's fault"

    tell(story)


def test_key_is_cached_for_a_while(tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(world: World) -> None:
        services = world.services
        monkeypatch.setattr(client_module, "KEY_CACHED_S", 0)
        uncached = Clients(services.settings, services.registry)
        for clients in (services.clients, uncached):
            await clients.of("acme")
        await services.registry.update_tenant("acme", sealed_key="")
        await services.clients.of("acme")
        with pytest.raises(Problem, match="budget_misconfigured"):
            await uncached.of("acme")

    tell(story)


def test_tenant_without_a_key_is_refused_and_its_settlements_wait_for_one(tell: Tell) -> None:
    async def story(world: World) -> None:
        registry = world.services.registry
        tenant = await registry.tenant("acme")
        assert tenant is not None
        await registry.update_tenant("acme", sealed_key="")
        world.services.outbox.add(event("e", 1_000))
        with capture_logs() as logs:
            await world.sweep()
        assert [(each["event"], each["tenant"]) for each in logs] == [("not settled, trying again", "acme")]
        with pytest.raises(Problem, match="budget_misconfigured"):
            await charge_one(world)
        (record,) = await world.calls()
        assert record.outcome == "budget_misconfigured"
        await registry.update_tenant("acme", sealed_key=tenant.sealed_key)
        await world.settled()
        assert world.cycles.ledger().spent == 1_000

    tell(story)


def test_key_that_cannot_be_decrypted_fails_the_call_and_is_logged(tell: Tell) -> None:
    async def story(world: World) -> None:
        await world.services.registry.update_tenant("acme", sealed_key="sealed with a lost secret")
        with capture_logs() as logs, pytest.raises(Problem, match="budget_misconfigured"):
            await charge_one(world)
        assert any("TENANT_KEYS_SECRET" in each.get("reason", "") for each in logs)
        (record,) = await world.calls()
        assert (record.outcome, record.hold, record.cost) == ("budget_misconfigured", 0, 0)

    tell(story)
