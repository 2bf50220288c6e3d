"""Each tenant's own Cycles key: replaced, gone, or sealed by a secret that is no more."""

import pytest
from structlog.testing import capture_logs

from {{ cookiecutter.__package }}.budget.sdk import journal_folder
from {{ cookiecutter.__package }}.console import onboarding
from {{ cookiecutter.__package }}.metrics import UPSTREAM
from {{ cookiecutter.__package }}.problems import Problem

from .stories import Tell, World, value_of
from .test_guard import COST, charge_one


def test_a_key_that_was_replaced_is_read_anew_and_one_that_was_not_is_refused(tell: Tell) -> None:
    async def story(world: World) -> None:
        services = world.services
        await charge_one(world)
        async with onboarding(services.settings, services.registry) as desk:
            await desk.rotate("acme", now=True)
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


def test_who_has_no_key_is_refused_and_its_journal_named(tell: Tell) -> None:
    async def story(world: World) -> None:
        services = world.services
        settings = services.settings
        folder = settings.cycles_journal_dir / journal_folder(settings.cycles_base_url, "nobody")
        folder.mkdir(parents=True)
        (folder / "r.json").touch()
        with capture_logs() as logs:
            await services.journal.settle(0.0)
        (line,) = logs
        told = {"event": "journal of a tenant without a usable Cycles key", "log_level": "error"}
        assert line == {**told, "tenant": "nobody", "folder": str(folder)}
        await services.registry.update_tenant("acme", sealed_key="")
        with pytest.raises(Problem, match="budget_misconfigured"):
            await charge_one(world)
        (record,) = await world.calls()
        assert record.outcome == "budget_misconfigured"

    tell(story)


def test_what_goes_wrong_on_our_side_fails_the_call_and_is_written_down(tell: Tell) -> None:
    async def story(world: World) -> None:
        await world.services.registry.update_tenant("acme", sealed_key="sealed by a secret that is no more")
        with capture_logs() as logs, pytest.raises(Problem, match="internal_error"):
            await charge_one(world)
        assert [(each["event"], each["tenant"]) for each in logs if "exc_info" in each] == [("guard failed", "acme")]
        (record,) = await world.calls()
        assert (record.outcome, record.hold, record.cost) == ("internal_error", 0, 0)
        assert not world.services.guard.held

    tell(story)
