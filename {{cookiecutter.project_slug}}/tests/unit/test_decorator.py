"""The SDK's decorator with a client of ours, as docs/extending.md shows it."""

import pytest
from runcycles import CyclesProtocolError, cycles

from {{ cookiecutter.__package }}.budget.subject import subject_of

from .embedded import USD
from .stories import Tell, World

HOLD, COST = 5_000_000, 1_200_000
"""Microcents."""


async def call(world: World, *, fails: bool = False) -> str:
    client = await world.services.clients.of("acme")

    @cycles(
        client=client,
        estimate=HOLD,
        actual=lambda _: COST,
        action_kind="llm.completion",
        action_name="my-model",
        **subject_of(world.services.settings, "acme"),
    )
    async def translate() -> str:
        client.spent = lambda: {"idempotency_key": "spent", "actual": {"unit": USD, "amount": COST}}
        if fails:
            raise LookupError
        return "Good day"

    return await translate()


@pytest.mark.parametrize("fault", [None, "drop_after", "error"])
def test_decorated_function_is_charged_once_though_answers_are_lost(tell: Tell, fault: str | None) -> None:
    async def story(world: World) -> None:
        if fault:
            world.cycles.fault(fault, "commit")
        assert await call(world) == "Good day"
        await world.settled()
        assert (world.cycles.ledger().spent, world.cycles.ledger().reserved) == (COST, 0)

    tell(story)


def test_decorated_function_that_fails_is_charged_for_what_it_used(tell: Tell) -> None:
    async def story(world: World) -> None:
        with pytest.raises(LookupError):
            await call(world, fails=True)
        assert (world.cycles.ledger().spent, world.cycles.ledger().reserved) == (COST, 0)

    tell(story)


def test_decorated_function_does_not_run_while_cycles_is_out_of_reach(tell: Tell) -> None:
    async def story(world: World) -> None:
        for _ in range(5):
            world.services.clients.breaker.failed()
        with pytest.raises(CyclesProtocolError):
            await call(world)
        assert world.cycles.ledger().spent == 0

    tell(story)
